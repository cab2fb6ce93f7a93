#!/usr/bin/env python3
"""Tables and figures of what ilf-eval measured.

    scripts/plot_quality.py FILE.jsonl... [--out DIR] [--all] [--no_seconds]

Reads ilf-eval's JSON lines, from any number of files, and writes to DIR
  tables.md                    a Markdown table for each guidance scale, cheapest cells first
  error_guidance_G.png         RMSE against block evaluations and against seconds, an image
  fid_guidance_G.png           the same for the Frechet distance, where it was measured
Several seeds of a cell become their mean; the spread is their standard deviation. A cell that several files measured
(ilf-eval on modules that were trained independently) takes the lines of all. Frechet distances of several judges are
refused. The tables list the cells on the front of their family, those that no other cell of it beats at the same or a
lower cost; --all lists every cell. In the figures a line joins the front, and the other cells are pale. Figures need
scripts/requirements-plot.txt.
"""
import argparse
import collections
import json
import pathlib
import statistics
import sys

# Family -> (colour, marker), in the legend's order. Colours of Okabe and Ito, told apart by the colour-blind.
STYLES = {
    "ddim": ("#999999", "v"),
    "dpmsolver++ linspace": ("#0072b2", "s"),
    "dpmsolver++ trailing": ("#56b4e9", "D"),
    "dpmsolver++ karras": ("#332288", "^"),
    "dpmsolver++ log_snr": ("#222222", "P"),
    "cache": ("#e69f00", "X"),
    "fitted": ("#009e73", "o"),
    "feedback": ("#d55e00", "*"),
    "feedback, scales 0": ("#cc79a7", "h"),
}
OTHER = ("#8c564b", "<")
REQUIRED = ("cell", "guidance", "seed", "steps", "block_evaluations", "seconds", "rmse", "latent_rmse")
JUDGED = {"rmse": "RMSE of pictures in [-1, 1]", "fid": "Frechet distance"}

Number = collections.namedtuple("Number", "mean spread")


class Cell:
    """One way of sampling at one guidance scale: the mean and spread of its seeds, by key."""

    def __init__(self, name, lines):
        self.name = name
        self.family = family(name)
        self.runs = len(lines)
        self.numbers = {}
        for key in ("block_evaluations", "seconds", "rmse", "median_rmse", "latent_rmse", "fid", "accuracy"):
            values = [line[key] for line in lines if key in line]
            if values:
                self.numbers[key] = Number(statistics.fmean(values),
                                           statistics.stdev(values) if len(values) > 1 else 0.0)

    def mean(self, key):
        return self.numbers[key].mean


def family(name):
    """Of a cell by its name, as engine/evaluation/cell.cc makes it."""
    if name.endswith(", scales 0"):
        return "feedback, scales 0"
    if " with feedback in " in name:
        return "feedback"
    if ", cache " in name:
        return "cache"
    if ", guidance " in name:  # a plan of a file, without feedback steps
        return "fitted"
    solver = name.rsplit(" ", 1)[0]
    return "ddim" if solver.startswith("ddim") else solver


def read_lines(files):
    """(cell, guidance) -> lines, one a seed and file; of two lines of a file about the same seed the later counts."""
    found = {}
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            sys.exit(f"plot_quality.py: {file}: {getattr(error, 'strerror', 'not UTF-8')}")
        for number, text in enumerate(lines, 1):
            try:
                line = json.loads(text)
                missing = [key for key in REQUIRED if key not in line]
            except (ValueError, TypeError):
                if number == len(lines):
                    continue  # what a killed run left unfinished
                sys.exit(f"plot_quality.py: {file}:{number}: not a line of ilf-eval")
            if missing:
                sys.exit(f"plot_quality.py: {file}:{number}: {missing[0]} is missing")
            found.setdefault((line["cell"], line["guidance"]), {})[file, line["seed"]] = line
    if not found:
        sys.exit("plot_quality.py: the files hold no line of ilf-eval")
    found = {key: list(seeds.values()) for key, seeds in found.items()}
    judges = {line.get("judge", "unknown") for lines in found.values() for line in lines if "fid" in line}
    if len(judges) > 1:
        sys.exit("plot_quality.py: Frechet distances of several judges (classifier, real pictures or number of "
                 f"pictures) do not compare: {', '.join(sorted(judges))}")
    return found


def by_guidance(lines):
    """Guidance scale -> cells, cheapest first."""
    cells = collections.defaultdict(list)
    for (name, guidance), seeds in lines.items():
        cells[guidance].append(Cell(name, seeds))
    return {guidance: sorted(cells[guidance], key=lambda cell: (cell.mean("block_evaluations"), cell.name))
            for guidance in sorted(cells)}


def front(cells, cost, judged):
    """Those that no other cell beats at the same or a lower cost, cheapest first."""
    result = []
    for cell in sorted(cells, key=lambda cell: (cell.mean(cost), cell.mean(judged))):
        if not result or cell.mean(judged) < result[-1].mean(judged):
            result.append(cell)
    return result


def families(cells):
    """Family -> cells, in the order of STYLES, unknown ones last."""
    groups = collections.defaultdict(list)
    for cell in cells:
        groups[cell.family].append(cell)
    order = list(STYLES)
    return {name: groups[name]
            for name in sorted(groups, key=lambda f: (order.index(f) if f in STYLES else len(order), f))}


def judged_cells(cells, key):
    return [cell for cell in cells if key in cell.numbers]


def listed(cells):
    """The cells on the front of their family, by any of the measures."""
    best = set()
    for group in families(cells).values():
        for key in JUDGED:
            best.update(cell.name for cell in front(judged_cells(group, key), "block_evaluations", key))
    return [cell for cell in cells if cell.name in best]


def text(cell, key, form):
    if key not in cell.numbers:
        return ""
    mean, spread = cell.numbers[key]
    return form % mean + (" ± " + form % spread if spread > 0 and key not in ("block_evaluations", "seconds") else "")


def table(cells):
    columns = [("block evaluations", "block_evaluations", "%.0f"), ("seconds", "seconds", "%.4f"),
               ("RMSE", "rmse", "%.4f"), ("median RMSE", "median_rmse", "%.4f"),
               ("latent RMSE", "latent_rmse", "%.4f"), ("FID", "fid", "%.3f"), ("accuracy", "accuracy", "%.3f")]
    columns = [column for column in columns if any(column[1] in cell.numbers for cell in cells)]
    lines = ["| cell | " + " | ".join(column[0] for column in columns) + " |",
             "|---|" + "---:|" * len(columns)]
    for cell in cells:
        lines.append("| " + " | ".join([cell.name] + [text(cell, key, form) for _, key, form in columns]) + " |")
    return "\n".join(lines)


def runs_line(cells):
    counts = sorted({cell.runs for cell in cells})
    if counts == [1]:
        return "One run."
    many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Mean ± standard deviation of {many} runs (sampling seeds times modules); seconds are means."


def markdown(guided, every):
    parts = []
    for guidance, cells in guided.items():
        rows = cells if every else listed(cells)
        title = f"## Guidance {guidance:g}\n\n{runs_line(cells)} {len(rows)} of {len(cells)} cells"
        parts.append(title + (".\n\n" if every else ": the fronts of their families.\n\n") + table(rows))
    return "\n\n".join(parts) + "\n"


def draw_panel(axes, cells, cost, judged):
    for name, group in families(cells).items():
        colour, marker = STYLES.get(name, OTHER)
        best = front(group, cost, judged)
        size = {"*": 11, "X": 7, "P": 7.5}.get(marker, 6)
        rest = [cell for cell in group if cell not in best]
        axes.plot([cell.mean(cost) for cell in rest], [cell.mean(judged) for cell in rest], linestyle="none",
                  marker=marker, markersize=0.6 * size, color=colour, alpha=0.25, markeredgewidth=0)
        axes.errorbar([cell.mean(cost) for cell in best], [cell.mean(judged) for cell in best],
                      yerr=[cell.numbers[judged].spread for cell in best], label=name, color=colour, marker=marker,
                      markersize=size, linewidth=1.6, elinewidth=1, capsize=2, markeredgecolor="white",
                      markeredgewidth=0.6, linestyle="--" if name == "feedback, scales 0" else "-",
                      zorder=4 if name == "feedback" else 3)


def plain_ticks(axis, low, high):
    """A few round numbers on a logarithmic axis, written plainly."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter
    def ticks(steps):
        return [step * 10.0 ** power for power in range(-6, 8) for step in steps
                if low <= step * 10.0 ** power <= high]
    choices = [ticks(steps) for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), range(1, 10))]
    narrow = [value for value in MaxNLocator(6).tick_values(low, high) if low <= value <= high]
    axis.set_major_locator(FixedLocator(next((c for c in choices if 4 <= len(c) <= 8), narrow)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


COSTS = (("block_evaluations", "block evaluations an image"), ("seconds", "seconds an image, measured"))


def draw(cells, guidance, judged, costs, file):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, panels = pyplot.subplots(1, len(costs), figsize=(3 + 4.5 * len(costs), 6), sharey=True, squeeze=False,
                                     layout="constrained")
    panels = panels[0]
    for axes, (cost, label) in zip(panels, costs):
        draw_panel(axes, cells, cost, judged)
        axes.set_xscale("log")
        axes.set_yscale("log")
        plain_ticks(axes.xaxis, *axes.get_xlim())
        axes.set_xlabel(label)
        axes.grid(True, which="major", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    plain_ticks(panels[0].yaxis, *panels[0].get_ylim())
    panels[0].set_ylabel(JUDGED[judged] + ", lower is better")
    figure.suptitle(f"Guidance {guidance:g}")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(3 * len(costs), len(names)), frameon=False)
    figure.savefig(file, dpi=130)
    pyplot.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE.jsonl")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/quality"), help="(%(default)s)")
    parser.add_argument("--all", action="store_true", help="list every cell in the tables")
    parser.add_argument("--no_seconds", action="store_true",
                        help="no panel of seconds, where other work ran beside the measurement")
    args = parser.parse_args()

    guided = by_guidance(read_lines(args.files))
    args.out.mkdir(parents=True, exist_ok=True)
    written = [args.out / "tables.md"]
    written[0].write_text(markdown(guided, args.all), encoding="utf-8")
    for guidance, cells in guided.items():
        for judged, stem in (("rmse", "error"), ("fid", "fid")):
            judgeable = judged_cells(cells, judged)
            if not judgeable:
                continue
            file = args.out / f"{stem}_guidance_{guidance:g}.png"
            try:
                draw(judgeable, guidance, judged, COSTS[:1] if args.no_seconds else COSTS, file)
            except ImportError as error:
                sys.exit(f"plot_quality.py: {error}: install scripts/requirements-plot.txt; {written[0]} is written")
            written.append(file)
    print("\n".join(map(str, written)))


if __name__ == "__main__":
    main()
