"""Tests scripts/check_layers.py on small trees: what the table forbids is found, what it allows is not."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "check_layers.py"


class CheckLayersTest(unittest.TestCase):
    def run_on(self, files):
        """(exit code, output) of the check on a tree with these files: path -> lines."""
        with tempfile.TemporaryDirectory() as root:
            for path, lines in files.items():
                file = pathlib.Path(root, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("\n".join(lines) + "\n", encoding="utf-8")
            done = subprocess.run([sys.executable, CHECK, root], capture_output=True, text=True)
            return done.returncode, done.stdout

    def assert_breach(self, files, message):
        code, output = self.run_on(files)
        self.assertEqual(code, 1, output)
        self.assertIn(message, output)

    def assert_clean(self, files):
        code, output = self.run_on(files)
        self.assertEqual(code, 0, output)

    def test_layer_may_include_what_the_table_lists(self):
        self.assert_clean({
            "engine/api/engine.h": ["#pragma once"],
            "engine/batching/queue.h": ['#include "engine/api/engine.h"'],
        })

    def test_layer_may_not_include_what_the_table_does_not_list(self):
        self.assert_breach({
            "engine/batching/queue.h": ["#pragma once"],
            "engine/api/engine.h": ["#pragma once", "", '#include "engine/batching/queue.h"'],
        }, 'engine/api/engine.h:3: engine/api may not include "engine/batching/queue.h"')

    def test_arrows_are_not_transitive(self):
        self.assert_breach({
            "engine/checkpoint/file.h": ["#pragma once"],
            "engine/training/t.h": ['#include "engine/checkpoint/file.h"'],
            "engine/runtime/r.h": ['#include "engine/training/t.h"'],
        }, "engine/runtime/r.h:1")

    def test_client_sees_only_the_protocol(self):
        self.assert_clean({"client/c.cc": ['#include "ilf/v1/image_generation.grpc.pb.h"']})
        self.assert_breach({
            "engine/base/clock.h": ["#pragma once"],
            "client/c.cc": ['#include "engine/base/clock.h"'],
        }, "client may not include")

    def test_engine_does_not_see_the_protocol(self):
        self.assert_breach({"engine/api/a.h": ['#include "ilf/v1/image_generation.pb.h"']},
                           "engine/api may not include")

    def test_only_main_sees_the_engine_factory(self):
        factory = {"engine/runtime/create_engine.h": ["#pragma once"]}
        use = ['#include "engine/runtime/create_engine.h"']
        self.assert_clean({**factory, "server/main.cc": use})
        self.assert_breach({**factory, "server/service.cc": use}, "server may not include")

    def test_torch_stays_out_of_the_runtime(self):
        self.assert_clean({"engine/model/m.cc": ["#include <ATen/core/Tensor.h>"]})
        self.assert_breach({"engine/runtime/r.cc": ["#include <ATen/core/Tensor.h>"]},
                           "engine/runtime may not use ATen")

    def test_grpc_stays_out_of_the_engine(self):
        self.assert_clean({"server/s.cc": ["#include <grpcpp/grpcpp.h>"]})
        self.assert_breach({"engine/api/a.cc": ["#include <grpcpp/grpcpp.h>"]},
                           "engine/api may not use grpcpp")

    def test_prometheus_stays_in_the_server(self):
        self.assert_clean({"server/m.cc": ["#include <prometheus/registry.h>"],
                           "tests/server/m_test.cc": ["#include <prometheus/registry.h>"]})
        self.assert_breach({"client/m.cc": ["#include <prometheus/registry.h>"]},
                           "client may not use prometheus")

    def test_torch_and_protobuf_do_not_meet_in_one_file(self):
        self.assert_breach({"benchmarks/b.cc": ["#include <c10/core/Device.h>",
                                                "#include <grpcpp/grpcpp.h>"]},
                           "torch and protobuf in one file")

    def test_umbrella_headers_are_for_training_only(self):
        self.assert_clean({"engine/training/t.cc": ["#include <torch/torch.h>"]})
        self.assert_breach({"engine/model/m.cc": ["#include <torch/torch.h>"]}, "costs 15 s a file")

    def test_tests_may_use_what_their_folder_may(self):
        header = {"engine/base/clock.h": ["#pragma once"], "server/s.h": ["#pragma once"]}
        self.assert_clean({**header, "tests/server/s_test.cc": ['#include "server/s.h"']})
        self.assert_breach({**header, "tests/base/b_test.cc": ['#include "server/s.h"']},
                           "tests/base may not include")

    def test_missing_file_is_a_breach(self):
        self.assert_breach({"engine/base/a.cc": ['#include "b.h"']}, "not a file under")

    def test_unknown_folder_is_a_breach(self):
        self.assert_breach({"engine/extra/a.cc": ["#include <vector>"]}, "not in the table")


if __name__ == "__main__":
    unittest.main()
