"""Tests scripts/make_dashboards.py and query_dashboards.py: what is wrong is found, and what is right is not."""
import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("query_dashboards", ROOT / "scripts" / "query_dashboards.py")
query_dashboards = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(query_dashboards)


class MakeDashboardsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for path in ("scripts/make_dashboards.py", "docs/metrics.md", "docs/runbook.md"):
            (self.root / path).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / path, self.root / path)
        shutil.copytree(ROOT / "dashboards", self.root / "dashboards",
                        ignore=shutil.ignore_patterns("__pycache__"))

    def check(self):
        """(exit code, output) of the check."""
        command = [sys.executable, self.root / "scripts" / "make_dashboards.py", "--check"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def change(self, path, before, after):
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        self.assertIn(before, text)
        file.write_text(text.replace(before, after), encoding="utf-8")

    def assert_found(self, message):
        code, output = self.check()
        self.assertEqual(code, 1, output)
        self.assertIn(message, output)

    def test_the_files_are_what_their_source_makes(self):
        self.assertEqual(self.check(), (0, ""))

    def test_an_edited_file_is_found(self):
        self.change("dashboards/latency.json", "ILF latency", "My latency")
        self.assert_found("latency.json is not what dashboards/source/ makes")

    def test_a_file_without_a_source_is_found(self):
        (self.root / "dashboards" / "mine.json").write_text("{}")
        self.assert_found("mine.json is made by no source")

    def test_a_misspelt_metric_is_found_by_its_panel(self):
        self.change("dashboards/source/saturation.py", "ilf_open_streams", "ilf_opened_streams")
        self.assert_found("saturation: panel 'Open streams' reads ilf_opened_streams, which docs/metrics.md")

    def test_a_misspelt_metric_in_a_rule_is_found(self):
        self.change("dashboards/source/rules.py", '"ilf_serving == 0"', '"ilf_server == 0"')
        self.assert_found("rule IlfPodNotServing reads ilf_server, which docs/metrics.md does not know")

    def test_a_misspelt_metric_of_the_process_is_found(self):
        self.change("dashboards/source/saturation.py", "process_cpu_seconds_total", "process_cpu_seconds")
        self.assert_found("saturation: panel 'Process CPU' reads process_cpu_seconds, which docs/metrics.md")

    def test_metrics_that_other_programs_have_too_are_kept_to_those_of_the_server(self):
        seen = set()
        for file in (ROOT / "dashboards").glob("*.json"):
            dashboard = json.loads(file.read_text(encoding="utf-8"))
            for _, panel in query_dashboards.grafana.panels_with_rows(dashboard):
                for expr in (target["expr"] for target in panel.get("targets", [])):
                    read = re.findall(r"\bprocess_\w+", expr)
                    seen.update(read)
                    self.assertEqual(expr.count("and on (namespace, pod, job, instance) ilf_build_info{"), len(read),
                                     panel["title"])
        self.assertIn("process_resident_memory_bytes", seen)

    def test_a_zero_in_place_of_data_is_found(self):
        self.change("dashboards/source/saturation.py", "(ilf_open_streams{{{HERE}}})",
                    "(ilf_open_streams{{{HERE}}}) or vector(0)")
        self.assert_found("panel 'Open streams' reads vector")

    def test_a_uid_is_found(self):
        self.change("dashboards/source/grafana.py", '"${datasource}"}', '"${datasource}", "x": {"uid": "P1809"}}')
        self.assert_found("latency: the uid P1809 is written into it")

    def test_a_metric_of_the_server_cannot_hide_among_those_not_proven(self):
        self.change("dashboards/source/saturation.py", "container_memory_working_set_bytes", "ilf_queued_images")
        self.assert_found("reads ilf_queued_images, which can be proven, in the row 'From DCGM")

    def test_a_metric_of_others_outside_their_row_is_found(self):
        self.change("dashboards/source/saturation.py", "sum by (pod) (ilf_open_streams", "sum by (pod) (DCGM_FI_DEV_FB_USED")
        self.assert_found("panel 'Open streams' reads DCGM_FI_DEV_FB_USED")

    def test_a_latency_objective_that_is_no_bucket_is_found(self):
        self.change("dashboards/source/rules.py", "LATENCY_SECONDS = 10", "LATENCY_SECONDS = 12")
        self.assert_found("the latency objective of 12 s is no bucket")

    def test_an_alert_without_a_heading_is_found(self):
        self.change("docs/runbook.md", "## IlfAbsent\n", "## Absent\n")
        self.assert_found("alert IlfAbsent has no heading in docs/runbook.md")

    def test_a_heading_without_an_alert_is_found(self):
        self.change("docs/runbook.md", "## IlfAbsent\n", "## IlfAbsent\n\n## IlfGone\n")
        self.assert_found("docs/runbook.md tells of IlfGone, which is no alert")

    def test_an_alert_that_is_never_tested_is_found(self):
        self.change("dashboards/rules/tests/causes.yaml", "alertname: IlfAbsent", "alertname: IlfOther")
        self.assert_found("no test in dashboards/rules/tests/ sees IlfAbsent fire")
        self.assert_found("no test in dashboards/rules/tests/ sees IlfAbsent silent")


class FakePrometheus:
    """Answers from a table: expression -> the values of its series."""

    def __init__(self, answers, values=()):
        self.answers = answers
        self.values = list(values)

    def range(self, expr):
        return [{"metric": {}, "values": [[0, value] for value in series]} for series in self.answers.get(expr, [])]

    def label_values(self, selector, label):
        return self.values


def dashboard_of(expr, row="Row"):
    target = {"refId": "A", "expr": expr, "legendFormat": ""}
    panel = {"id": 2, "type": "timeseries", "title": "Panel", "targets": [target]}
    variable = {"name": "pod", "type": "query", "allValue": ".*", "query": {"query": "label_values(up, pod)"}}
    return {
        "templating": {"list": [variable]},
        "panels": [{"id": 1, "type": "row", "title": row, "panels": []}, panel],
    }


class QueryDashboardsTest(unittest.TestCase):
    EXPR = 'x{pod=~"$pod"}'

    def faults(self, prometheus, expr=EXPR, row="Row"):
        return query_dashboards.check_dashboard("name", dashboard_of(expr, row), prometheus)[0]

    def test_series_for_all_and_for_a_single_value_will_do(self):
        answers = {'x{pod=~".*"}': [["0", "1"]], 'x{pod=~"b"}': [["1"]]}
        self.assertEqual(self.faults(FakePrometheus(answers, ["a", "b"])), [])

    def test_no_series_is_found_by_the_panel(self):
        faults = self.faults(FakePrometheus({}, ["a"]))
        self.assertEqual(faults, [f"name: panel 'Panel', query A brings no series: {self.EXPR}"])

    def test_nothing_but_zero_or_nan_is_found(self):
        faults = self.faults(FakePrometheus({'x{pod=~".*"}': [["0", "NaN"], ["0"]]}, ["a"]))
        self.assertIn("brings nothing but 0", faults[0])

    def test_a_filter_that_fits_no_single_value_is_found(self):
        faults = self.faults(FakePrometheus({'x{pod=~".*"}': [["1"]]}, ["a", "b"]))
        self.assertIn("brings nothing for any single $pod of a, b", faults[0])

    def test_a_variable_without_values_is_found(self):
        faults = self.faults(FakePrometheus({'x{pod=~".*"}': [["1"]]}))
        self.assertIn("variable pod: label_values(up, pod) brings no value", faults[0])

    def test_a_variable_that_is_not_there_is_found(self):
        faults = self.faults(FakePrometheus({}, ["a"]), 'x{pod=~"$node"}')
        self.assertIn("is wrong: 'node'", faults[0])

    def test_rows_that_are_not_proven_are_left_out(self):
        self.assertEqual(self.faults(FakePrometheus({}, ["a"]), row="DCGM (not proven)"), [])

    def test_variables_are_written_as_grafana_does(self):
        text = query_dashboards.substitute("rate(x{a=~\"${pod}\"}[$__rate_interval])", {"pod": ".*"})
        self.assertEqual(text, 'rate(x{a=~".*"}[8s])')
        self.assertEqual(query_dashboards.escaped("a.b"), r"a\\.b")


if __name__ == "__main__":
    unittest.main()
