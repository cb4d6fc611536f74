"""A service that uses Perdure over both doors: `python examples/python/service.py DATA CONTROL`.

It writes so that a power cut loses nothing, counts in one round trip a thousand, moves an amount
between two keys in one step, and takes a snapshot that it follows to its end.
"""

from __future__ import annotations

import sys

from perdure import Client, DataClient, Durability, PerdureError


def main(data_target: str, control_target: str) -> int:
    """Do all of it; a refusal is told with what to do next."""
    try:
        with DataClient(data_target) as data, Client(control_target) as control:
            use_data(data)
            use_snapshots(control)
    except PerdureError as error:
        print(f"Error: {error.code}: {error}\nTry: {error.hint}", file=sys.stderr)
        return 1
    return 0


def use_data(data: DataClient) -> None:
    """Write, read, batch, transact, scan."""
    written = data.set("greeting", "hello from Python", ttl=3600, durability=Durability.FSYNCED)
    print("set:", written.durability.name, "at", written.position)
    print("get:", data.get("greeting"))
    with data.pipeline() as pipe:
        replies = [pipe.execute("INCR", "visits") for _ in range(1000)]
    print("visits:", replies[-1].result())
    data.multi_set({"account:a": "100", "account:b": "0"})
    moved = data.transact(
        [("DECRBY", "account:a", 30), ("INCRBY", "account:b", 30)],
        if_values={"account:a": "100"},
    )
    print("moved:", moved.values)
    for entry in data.scan("account:*", with_values=True):
        print("scan:", entry.key.decode(), entry.value)


def use_snapshots(control: Client) -> None:
    """Take a snapshot and see what a restore of it would do."""
    snapshot = control.snapshots.take(on_progress=lambda now: print("progress:", now.phase))
    print("snapshot:", snapshot.name, "keys:", snapshot.key_count)
    plan = control.snapshots.plan_restore(snapshot.name)
    print("a restore would replace", plan.replaced_key_count, "keys by", plan.key_count)


if __name__ == "__main__":
    raise SystemExit(main(*(sys.argv[1:] or ["127.0.0.1:6380", "127.0.0.1:6381"])))
