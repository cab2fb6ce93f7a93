"""Tests what scripts/plot_quality.py makes of ilf-eval's lines; the figures are for eyes."""
import importlib.util
import json
import pathlib
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "plot_quality.py"
SPEC = importlib.util.spec_from_file_location("plot_quality", SCRIPT)
plot_quality = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(plot_quality)


def line(cell, cost, rmse, seed=0, guidance=1, **more):
    return {"cell": cell, "guidance": guidance, "seed": seed, "steps": 4, "block_evaluations": cost,
            "seconds": cost / 1000, "rmse": rmse, "latent_rmse": rmse, **more}


class PlotQualityTest(unittest.TestCase):
    def read(self, *files):
        """The cells by guidance of files that hold these lines (dicts or texts)."""
        with tempfile.TemporaryDirectory() as root:
            paths = []
            for i, lines in enumerate(files):
                paths.append(pathlib.Path(root, f"{i}.jsonl"))
                paths[-1].write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
            return plot_quality.by_guidance(plot_quality.read_lines(paths))

    def test_family_follows_from_the_name(self):
        for name, family in {
                "ddim linspace 4": "ddim",
                "dpmsolver++ log_snr 20": "dpmsolver++ log_snr",
                "dpmsolver++ linspace 6, cache blocks every 2, 1-27": "cache",
                "mine 5, guidance 1-4": "fitted",
                "feedback 5 with feedback in 2, guidance 1-4": "feedback",
                "mine 5 with feedback in 2, guidance 1-4": "feedback",
                "feedback 5 with feedback in 2, guidance 1-4, scales 0": "feedback, scales 0"}.items():
            self.assertEqual(plot_quality.family(name), family)

    def test_seeds_become_mean_and_spread(self):
        cells = self.read([line("ddim linspace 4", 112, 0.1)], [line("ddim linspace 4", 112, 0.3, seed=1)])
        self.assertEqual([cell.runs for cell in cells[1]], [2])
        self.assertAlmostEqual(cells[1][0].numbers["rmse"].mean, 0.2)
        self.assertAlmostEqual(cells[1][0].numbers["rmse"].spread, 0.1 * 2 ** 0.5)

    def test_later_line_of_a_file_about_a_seed_counts(self):
        cells = self.read([line("ddim linspace 4", 112, 0.1), line("ddim linspace 4", 112, 0.3)])
        self.assertEqual(cells[1][0].mean("rmse"), 0.3)

    def test_files_about_the_same_seed_are_runs_of_their_own(self):
        cells = self.read([line("feedback 4 with feedback in 4", 128, 0.1)],
                          [line("feedback 4 with feedback in 4", 128, 0.3)])
        self.assertEqual(cells[1][0].runs, 2)
        self.assertAlmostEqual(cells[1][0].mean("rmse"), 0.2)

    def test_table_lists_fronts_of_families_cheapest_first(self):
        cells = self.read([line("ddim linspace 6", 168, 0.2), line("ddim linspace 5", 140, 0.1),
                           line("dpmsolver++ karras 4", 112, 0.5), line("ddim linspace 4", 112, 0.3)])
        names = [cell.name for cell in plot_quality.listed(cells[1])]
        self.assertEqual(names, ["ddim linspace 4", "dpmsolver++ karras 4", "ddim linspace 5"])
        self.assertIn("ddim linspace 6", plot_quality.markdown(cells, every=True))
        self.assertNotIn("ddim linspace 6", plot_quality.markdown(cells, every=False))

    def test_best_by_frechet_distance_is_on_the_front_too(self):
        cells = self.read([line("ddim linspace 4", 112, 0.1, fid=9), line("ddim linspace 5", 140, 0.2, fid=8)])
        self.assertEqual(len(plot_quality.listed(cells[1])), 2)
        self.assertIn("| 8.000 |", plot_quality.markdown(cells, every=False))

    def test_median_error_has_a_column_where_it_was_measured(self):
        self.assertNotIn("median", plot_quality.markdown(self.read([line("ddim linspace 4", 112, 0.1)]), every=True))
        cells = self.read([line("ddim linspace 4", 112, 0.1, median_rmse=0.04), line("ddim linspace 5", 140, 0.1)])
        rows = plot_quality.markdown(cells, every=True).splitlines()
        self.assertIn("| RMSE | median RMSE |", rows[4])
        self.assertIn("| 0.1000 | 0.0400 |", rows[6])
        self.assertIn("| 0.1000 |  |", rows[7])

    def test_several_judges_are_refused(self):
        first = line("ddim linspace 4", 112, 0.1, fid=9, judge="a")
        self.assertEqual(len(self.read([first, line("ddim linspace 5", 140, 0.1, fid=8, judge="a")])[1]), 2)
        with self.assertRaisesRegex(SystemExit, "several judges.*: a, b"):
            self.read([first], [line("ddim linspace 5", 140, 0.1, fid=8, judge="b")])

    def test_guidance_scales_have_tables_of_their_own(self):
        cells = self.read([line("ddim linspace 4", 112, 0.1, guidance=2.5), line("ddim linspace 4", 112, 0.1)])
        self.assertEqual(list(cells), [1, 2.5])
        self.assertIn("## Guidance 2.5", plot_quality.markdown(cells, every=False))

    def test_unfinished_last_line_is_left_out_and_any_other_is_refused(self):
        self.assertEqual(len(self.read([line("ddim linspace 4", 112, 0.1), '{"cell": "ddi'])[1]), 1)
        with self.assertRaisesRegex(SystemExit, "0.jsonl:1: not a line"):
            self.read(['{"cell": "ddi', line("ddim linspace 4", 112, 0.1)])
        with self.assertRaisesRegex(SystemExit, "0.jsonl:1: rmse is missing"):
            short = line("ddim linspace 4", 112, 0.1)
            del short["rmse"]
            self.read([short])


if __name__ == "__main__":
    unittest.main()
