"""How fast `/status/health` answers while 40 calls wait for a lock.

python bench/waiting.py http://127.0.0.1:8090
"""

from __future__ import annotations

import statistics
import sys
import threading
import time

import requests

WAITING = 40
PROBES = 200


def main(url: str) -> None:
    """Hold a lock, let 40 calls wait for it, time the probes, and let go."""
    api = url.rstrip("/") + "/druid/indexer/v1"
    stamp = time.time_ns()
    tasks = []
    for name in ("holder", "waiter"):
        task = {"type": "noop", "id": f"{name}_{stamp}", "dataSource": f"w{stamp}", "runTime": 60_000}
        requests.post(f"{api}/task", json=task, timeout=30).raise_for_status()
        tasks.append(task)
    holder, waiter = tasks

    def acquire(task: dict[str, object], timeout_ms: int) -> requests.Response:
        action = {"type": "lockAcquire", "lockType": "EXCLUSIVE", "interval": "2024/P1D", "timeoutMs": timeout_ms}
        return requests.post(f"{api}/action", json={"task": task, "action": action}, timeout=60)

    acquire(holder, 1000).raise_for_status()
    answers: list[tuple[int, float]] = []

    def wait() -> None:
        began = time.perf_counter()
        answer = acquire(waiter, 8000)
        answers.append((answer.status_code, time.perf_counter() - began))

    threads = [threading.Thread(target=wait) for _ in range(WAITING)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    held = WAITING - len(answers)
    took = []
    for _ in range(PROBES):
        began = time.perf_counter()
        requests.get(url + "/status/health", timeout=30).raise_for_status()
        took.append((time.perf_counter() - began) * 1000)
    for thread in threads:
        thread.join()
    for task in tasks:
        requests.post(f"{api}/task/{task['id']}/shutdown", timeout=30)
    took.sort()
    kinds = {code: sum(1 for each, _ in answers if each == code) for code in {each for each, _ in answers}}
    print(f"{held} of {WAITING} calls held; answers by status {kinds}")
    print(f"/status/health: median {statistics.median(took):.1f} ms, p99 {took[-3]:.1f} ms, max {took[-1]:.1f} ms")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8090")
