"""The printed report of the serving benchmark."""

from __future__ import annotations

from typing import Any

HEADS = {
    "closed": "closed loop, bodies of 1 to 20 events, 20 items each",
    "open": "open loop, at a constant rate; latency from when a request was due",
    "redis": "closed loop, with a session_id",
    "events": "closed loop, POST /v1/events, with event ids",
    "workers": "two workers, MiB of each",
    "swap": "another version promoted, at 1,000 requests a second",
    "kill": "100,000 events posted while one of two workers is killed at random",
    "soak": "soak, at 2,000 requests a second",
}


def show(sections: dict[str, Any]) -> None:
    """Print what each section found, then every target and whether it holds."""
    for name, found in sections.items():
        print(f"\n{HEADS[name]}; {found['items']:,} items")
        if "loops" in found:
            _show_loops(found["loops"])
        if "rates" in found:
            _show_rates(found["rates"])
        if name == "swap":
            _show_latencies(found["latency_ms"])
        for row in found["workers"] if name == "workers" else found.get("memory_mib", []) if name == "soak" else []:
            print("  " + "".join(f"{key} {value:g}   " for key, value in row.items()))
    print(f"\n{'target':52}{'value':>10}{'wanted':>10}  holds")
    for name, found in sections.items():
        for each in found["checks"]:
            verdict = "yes" if each["holds"] else "no"
            print(f"  {name + ': ' + each['what']:50}{each['value']:>10,.2f}{each['wanted']:>10}  {verdict}")


def _show_loops(loops: dict[str, Any]) -> None:
    print(f"{'':22}{'CPU µs':>9}{'of it user':>12}{'a second':>10}{'p50 ms':>9}{'p99 ms':>9}{'failed':>8}")
    for name, each in loops.items():
        print(
            f"  {name:20}{each['cpu_us']:>9.1f}{each['user_us']:>12.1f}{each['per_second']:>10,.0f}"
            f"{each['p50_ms']:>9.2f}{each['p99_ms']:>9.2f}{each['failed']:>8}"
        )


def _show_rates(rates: dict[str, Any]) -> None:
    heads = "".join(f"{name:>9}" for name in ("p50 ms", "p90", "p99", "p99.9", "max"))
    print(f"{'':28}{heads}{'failed':>8}{'late p99':>10}{'CPU µs: server':>16}{'generator':>11}")
    for name, rows in rates.items():
        for each in rows:
            times = "".join(f"{value:>9.2f}" for value in each["latency_ms"].values())
            label = f"{name}, {each['rate']:,.0f} a second"
            print(
                f"  {label:26}{times}{each['failed']:>8}{each['sent_late_ms']['p99']:>10.2f}"
                f"{each['server_cpu_us']:>16.1f}{each['generator_cpu_us']:>11.1f}"
            )


def _show_latencies(parts: dict[str, Any]) -> None:
    for name, each in parts.items():
        print(f"  {name:26}" + "".join(f"{key} {value:.2f} ms   " for key, value in each.items()))
