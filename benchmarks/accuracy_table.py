"""The printed report of one log."""

from __future__ import annotations

from typing import Any

PARTS = ("/repeat", "/novel")


def show(name: str, result: dict[str, Any]) -> None:
    """Print the log's two tasks, the differences from the best peers, and what it costs."""
    meta, column = result["split"], result["column"]
    sizes = f"{meta['train_sessions']:,} sessions and {meta['train_events']:,} events of {meta['catalog']:,} items"
    asked = f"{meta['next_click']['prefixes']:,} prefixes of {meta['test_sessions']:,} test sessions"
    print(f"\n{name}: {sizes} to train on; {asked}")
    _next_click(result, column)
    if "official" in result["tasks"]:
        _official(result)
    if result["baskets"]:
        _baskets(result["baskets"])
    for each in result["differences"]:
        low, high = each["ci95"]
        figure = f"{each['task']} {each['figure']}"
        print(f"  ranker - {each['peer']}, {figure}: {each['value']:+.4f} [{low:+.4f}, {high:+.4f}]")
    own = "  ".join(f"{system} {recall:.4f}" for system, recall in result["notebook_protocol_recall"].items())
    print(f"  the notebook's own protocol (last event, five shown), recall@20: {own}")
    for system, taken in result["one_call"].items():
        print(f"  one call, {system}: median {taken['median_us']:.0f}, p99 {taken['p99_us']:.0f} µs of CPU")
    cpu = result["nextcart_cpu_s"]
    print(f"  CPU s: nextcart ingest {cpu['ingest']}, train {cpu['train']} (ranker {cpu['ranker']})", end="; ")
    tuning = sum(facts.get("tuning_cpu_s", 0.0) for facts in result["peers"].values())
    print(f"tuning of the peers {tuning:.0f}")


def _next_click(result: dict[str, Any], column: str) -> None:
    scored, wanted = result["tasks"]["next_click"], result["wanted"]
    heads = f"{'recall@20' + column:>18}{'ci95':>16}{'MRR@20' + column:>16}{'ci95':>16}"
    print(f"\n  {'next_click':28}{heads}{'repeat':>16}{'novel':>16}{'coverage':>10}")
    for system, figures in _sorted(scored, f"recall@20{column}"):
        text = f"  {system:28}"
        for metric, width in ((f"recall@20{column}", 18), (f"mrr@20{column}", 16)):
            text += f"{figures[metric]:>{width}.4f}{_interval(figures['ci95'][metric]):>16}"
        for part in PARTS:
            both = [_number(figures[f"{metric}@20{part}"]) for metric in ("recall", "mrr")]
            text += f"{' / '.join(both):>16}"
        print(text + f"{figures['coverage@20']:>10.3f}")
    if "recall" in wanted:
        print(f"  {'wanted':28}{wanted['recall']:>18.3f}{'':16}{wanted['mrr']:>16.3f}")


def _official(result: dict[str, Any]) -> None:
    names = ("clicks_recall@20", "carts_recall@20", "orders_recall@20", "total@20")
    print(f"\n  {'official':28}" + "".join(f"{name.split('_')[0]:>10}{'ci95':>16}" for name in names))
    for system, figures in _sorted(result["tasks"]["official"], "total@20"):
        cells = (f"{_number(figures[name]):>10}{_interval(figures['ci95'][name]):>16}" for name in names)
        print(f"  {system:28}" + "".join(cells))
    if "official" in result["wanted"]:
        print(f"  {'wanted':28}" + "".join(f"{each:>10.3f}{'':16}" for each in result["wanted"]["official"]))


def _baskets(baskets: dict[str, Any]) -> None:
    title = f"basket_completion, {baskets['questions']:,} baskets"
    print(f"\n  {title:40}{'recall@20':>10}{'MRR@20':>10}  bought_together is ahead by")
    for system, figures in _sorted(baskets["figures"], "recall@20"):
        text = f"  {system:40}{figures['recall@20']:>10.4f}{figures['mrr@20']:>10.4f}"
        for figure in baskets["ahead_of"].get(system, {}).values():
            text += f"  {figure['value']:+.4f} {_interval(figure['ci95'])}"
        print(text)


def _sorted(scored: dict[str, Any], metric: str) -> list[tuple[str, Any]]:
    return sorted(scored.items(), key=lambda each: -(each[1][metric] or 0.0))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(ends: list[float] | None) -> str:
    return "" if ends is None or ends[0] is None else f"[{ends[0]:.3f}, {ends[1]:.3f}]"
