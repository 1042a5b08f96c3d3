"""The printed report of one shop."""

from __future__ import annotations

from typing import Any


def show(shop: str, result: dict[str, Any]) -> None:
    """Print the comparisons, the recall of both sides' vectors, the serving times and the training's total."""
    train, val = (result["splits"][name] for name in ("train_split", "val_split"))
    print(f"\n{shop}: {train['events']:,} events of {train['items']:,} items to train on,", end=" ")
    print(f"{val['sessions']:,} sessions held out; CPU seconds, user and system, of all threads\n")
    print(f"{'':36}{'work':^36}  {'whole process':^22}  {'peak MiB':^18}")
    heads = f"{'notebook':>9}{'nextcart':>9}{'ratio':>7}{'target':>7}{'':4}"
    print(f"{'stage':36}{heads}  {'notebook':>9}{'nextcart':>9}{'':4}  {'notebook':>9}{'nextcart':>9}")
    for line in result["comparisons"]:
        print(_line(line))
    per_session = result["evaluation_us_per_session"]
    print(f"\nevaluation, CPU µs a session: notebook {per_session['notebook']:.0f},", end=" ")
    print(f"nextcart {per_session['nextcart']:.0f}, all models in both modes; the hybrid's recall@20", end=" ")
    sides = [result["checks"]["evaluation"][side]["hybrid"]["next"]["recall"] for side in ("notebook", "nextcart")]
    print(" and ".join(f"{recall:.4f}" for recall in sides))
    recall = result["checks"]["item2vec"]
    print("\nrecall@20 of item2vec alone     exact search    own index")
    for side in ("notebook", "nextcart"):
        print(f"  {side:28}{recall[side + '_exact']:>14.4f}{recall[side + '_index']:>13.4f}")
    _show_serving(result["serving"])
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in result["train_cpu_s"].items() if name != "total")
    print(f"\ntraining all models: {result['train_cpu_s']['total']:.2f} CPU s ({parts})")


def _line(line: dict[str, Any]) -> str:
    target = f"{line['target']:>7.0f}" if line["target"] else f"{'':7}"
    verdict = {True: " yes", False: "  no", None: "    "}[line["holds"]]
    text = f"{line['stage']:36}{line['notebook']:>9.3f}{line['nextcart']:>9.3f}{line['ratio']:>7.1f}{target}{verdict}"
    if line["process"]:
        text += "  {:>9.2f}{:>9.2f}{:4}".format(*line["process"], "")
        text += "  {:>9,.0f}{:>9,.0f}".format(*line["peak_mib"])
    return text


def _show_serving(serving: dict[str, Any]) -> None:
    rows = {
        "the batch of one: ids to rows": serving["batch"],
        "scoring, hybrid": serving["score"],
        "both": serving["both"],
    }
    rows |= {f"scoring, {name} alone": times for name, times in serving["models"].items()}
    print(f"\none call, 5 events, k = 20, one thread{'median µs':>14}{'p99 µs':>9}{'CPU µs':>9}")
    for name, times in rows.items():
        print(f"  {name:36}{times['median_us']:>13.1f}{times['p99_us']:>9.1f}{times['cpu_us']:>9.1f}")
    verdict = "yes" if serving["holds"] else "no"
    print(f"  scoring under {serving['target_us']:.0f} µs (median): {verdict}")
