"""The results as a page of Markdown and plots in SVG."""

import html
import pathlib
import statistics

import proxies
import scenarios

TITLES = {proxy.name: proxy.title for proxy in proxies.ALL}
COLOURS = {"nginx": "#8a8f98", "haproxy": "#5b8bd0", "envoy": "#a974c9", "trionex": "#d9622b", "trionex-redis": "#e8a27f"}
# A proxy whose core was less busy than this was not what held the rate down.
BUSY = 0.95
MEGABYTE = 1e6


def shown(words: list, root: pathlib.Path) -> str:
    """A command as a person would type it, with its token left out."""
    texts = []
    for word in words:
        word = word.replace(str(root) + "/", "")
        if "Bearer " in word:
            word = word[: word.index("Bearer ")] + "Bearer $TOKEN"
        texts.append(f"'{word}'" if " " in word else word)
    return " ".join(texts)


def median(runs: list, name: str) -> float:
    return statistics.median(run[name] for run in runs)


def runs_of(results: dict, scenario: str, proxy: str) -> list:
    return results["scenarios"].get(scenario, {}).get(proxy) or []


def names(results: dict) -> list:
    found = {name for runs in results["scenarios"].values() for name in runs}
    return [proxy.name for proxy in proxies.ALL if proxy.name in found | set(results["missing"])]


def wrong(runs: list) -> int:
    return sum(run["refused"] + run["broken"] for run in runs)


def rows(results: dict, scenario: scenarios.Scenario) -> list:
    """The table of one scenario, as lists of cells."""
    if scenario.memory:
        table = [["proxy", "PSS before, MB", "PSS with them, MB", "for 10,000 connections, MB", "KB each"]]
    else:
        rate = "req/s, served of asked" if scenario.rated else "req/s"
        table = [["proxy", rate, "CPU µs per request", "core busy", "p50 ms", "p99 ms", "p99.9 ms"]]
    width = len(table[0])
    for name in names(results):
        runs = runs_of(results, scenario.id, name)
        reason = results["skipped"].get(scenario.id, {}).get(name) or results["missing"].get(name)
        if not runs:
            table.append([TITLES[name], reason or "not measured"] + [""] * (width - 2))
            continue
        mark = f" **({wrong(runs)} failed)**" if wrong(runs) else ""
        if scenario.memory:
            before, after = median(runs, "pss_before"), median(runs, "pss_after")
            each = (after - before) / runs[0]["connections"]
            table.append([TITLES[name] + mark, f"{before / MEGABYTE:.1f}", f"{after / MEGABYTE:.1f}",
                          f"{each * 10_000 / MEGABYTE:.1f}", f"{each / 1_000:.2f}"])
            continue
        rate = f"{median(runs, 'rate'):,.0f}" + (f" of {median(runs, 'asked'):,.0f}" if scenario.rated else "")
        table.append([
            TITLES[name] + mark, rate, f"{median(runs, 'cpu_us'):.1f}", f"{median(runs, 'busy'):.0%}",
            *(f"{median(runs, key) / 1_000:.2f}" for key in ("p50", "p99", "p999"))])
    return table


def markdown_table(table: list) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in table]
    lines.insert(1, "|---" + "|--:" * (len(table[0]) - 1) + "|")
    return "\n".join(lines)


def plain_table(table: list) -> str:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join("  ".join(
        cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in table)


def measured(results: dict) -> list:
    return [scenario for scenario in scenarios.ALL if any(results["scenarios"].get(scenario.id, {}).values())]


def aims(results: dict) -> list:
    """The stated aims, each with what was measured: text, figure, whether it is met."""
    found = []

    def compare(text: str, scenario: str, key: str, peer: str, bound: float, most: bool) -> None:
        ours, theirs = runs_of(results, scenario, "trionex"), runs_of(results, scenario, peer)
        if not ours or not theirs:
            return
        ratio = median(ours, key) / max(median(theirs, key), 1e-9)
        found.append([text, f"{ratio:.2f} ×", ratio <= bound if most else ratio >= bound])

    compare("CPU per request at most 0.9 × nginx's plain proxy, cached token", "cached", "cpu_us", "nginx", 0.9, True)
    compare("at least 2.5 × Envoy's rate, cached token", "cached", "rate", "envoy", 2.5, False)
    for scenario in scenarios.ALL:
        title = scenario.title[0].lower() + scenario.title[1:] if not scenario.title.startswith(("TLS", "HTTP")) else scenario.title
        if scenario.memory:
            ours, theirs = runs_of(results, scenario.id, "trionex"), runs_of(results, scenario.id, "envoy")
            if ours and theirs:
                grown = [median(runs, "pss_after") - median(runs, "pss_before") for runs in (ours, theirs)]
                ratio = grown[0] / max(grown[1], 1)
                found.append([f"not behind Envoy in memory: {title}", f"{ratio:.2f} ×", ratio <= 1])
        elif scenario.rated:
            compare(f"not behind Envoy in p99: {title}", scenario.id, "p99", "envoy", 1, True)
        else:
            compare(f"not behind Envoy in rate: {title}", scenario.id, "rate", "envoy", 1, False)
            compare(f"not behind Envoy in CPU: {title}", scenario.id, "cpu_us", "envoy", 1, True)
    return found


def bars(results: dict, title: str, value, unit: str, chosen: list) -> str:
    """Horizontal bars, one group for each scenario; `value` makes a number of a scenario's runs."""
    left, bar, gap, width, text = 210, 16, 26, 860, 12
    lines, y = [], 48
    for scenario in chosen:
        figures = [(name, value(runs)) for name in names(results) if (runs := runs_of(results, scenario.id, name))]
        if not figures:
            continue
        largest = max(figure for _, figure in figures) or 1
        lines.append(f'<text x="12" y="{y + 4}" font-weight="600">{html.escape(scenario.title)}</text>')
        y += 12
        for name, figure in figures:
            length = max(1.0, figure / largest * (width - left - 110))
            label = f"{figure:,.0f}" if figure >= 1_000 else f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"
            lines.append(f'<text x="{left - 8}" y="{y + bar - 4}" text-anchor="end">{html.escape(TITLES[name])}</text>')
            lines.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar - 3}" rx="2" fill="{COLOURS[name]}"/>')
            lines.append(f'<text x="{left + length + 6:.1f}" y="{y + bar - 4}">{label} {unit}</text>')
            y += bar
        y += gap
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="{text}" fill="#1d2129"><title>{html.escape(title)}</title>'
            f'<rect width="{width}" height="{y}" fill="#ffffff"/><text x="12" y="24" font-size="16" font-weight="700">{html.escape(title)}</text>')
    return head + "\n" + "\n".join(lines) + "\n</svg>\n"


def plots(results: dict) -> dict:
    """File names with what they hold."""
    there = measured(results)
    rated = [scenario for scenario in there if not scenario.memory]
    made = {}
    if rated:
        made["cpu.svg"] = bars(results, "CPU per request, shorter is better", lambda runs: median(runs, "cpu_us"), "µs", rated)
        full = [scenario for scenario in rated if not scenario.rated]
        if full:
            made["rate.svg"] = bars(results, "Requests a second on one core, longer is better", lambda runs: median(runs, "rate"), "req/s", full)
        made["p99.svg"] = bars(results, "p99 latency, shorter is better", lambda runs: median(runs, "p99") / 1_000, "ms", rated)
    memory = [scenario for scenario in there if scenario.memory]
    if memory:
        made["memory.svg"] = bars(
            results, "Memory of 10,000 idle connections, shorter is better",
            lambda runs: (median(runs, "pss_after") - median(runs, "pss_before")) / MEGABYTE, "MB", memory)
    return made


def summary(results: dict) -> str:
    """For the terminal."""
    parts = [f"{scenario.title}\n{plain_table(rows(results, scenario))}" for scenario in measured(results)]
    verdicts = [f"{'met    ' if met else 'NOT MET'}  {figure:>7}  {text}" for text, figure, met in aims(results)]
    return "\n\n".join(parts + (["Aims\n" + "\n".join(verdicts)] if verdicts else []))


def page(results: dict, images: list) -> str:
    here = (pathlib.Path(__file__).parent / "page.md").read_text()
    versions = [[TITLES[name], results["versions"].get(name) or f"missing: {results['missing'].get(name, 'not asked for')}"] for name in names(results)]
    settings = results["settings"].get("trionex") or {}
    values = {
        "DATE": results["date"], "COMMAND": results["command"], "ROUNDS": results["rounds"], "SECONDS": f"{results['seconds']:g}",
        "CPU": f"{results['cpu']}, {results['cores']} cores", "SYSTEM": f"{results['system']}, Linux {results['kernel']}",
        "VERSIONS": markdown_table([["proxy", "version"], *versions]).replace("|--:|", "|---|"),
        "AIMS": markdown_table([["aim", "measured", ""], *([text, figure, "met" if met else "**not met**"] for text, figure, met in aims(results))]),
        "PLOTS": "\n\n".join(f"![{name.removesuffix('.svg')}](Bench/{name})" for name in images),
        "TABLES": "\n\n".join(f"### {scenario.title}\n\n{markdown_table(rows(results, scenario))}" for scenario in measured(results)),
        "COMMANDS": "\n".join(f"# {kind}\n{text}" for kind, text in sorted(results["commands"].items())),
        "SETTINGS": "\n".join(f"{name}={value}" for name, value in settings.items()).replace(str(pathlib.Path(__file__).resolve().parent.parent.parent) + "/", ""),
        "DISTINCT": f"{results.get('distinct', 0):,}", "BUSY": f"{BUSY:.0%}",
    }
    for key, value in values.items():
        here = here.replace(f"@{key}@", str(value))
    return here


def write(results: dict, directory: pathlib.Path) -> list:
    """BENCHMARKS.md in the directory and the plots in its Bench."""
    images = plots(results)
    (directory / "Bench").mkdir(exist_ok=True)
    written = [directory / "BENCHMARKS.md"]
    written[0].write_text(page(results, list(images)))
    for name, text in images.items():
        written.append(directory / "Bench" / name)
        written[-1].write_text(text)
    return written
