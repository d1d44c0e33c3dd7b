"""Processor time, for tools that tell what something costs."""

from __future__ import annotations

import psutil


def processor_seconds(root: int) -> float:
    """What a process and all below it have used so far, with what their ended children used."""
    try:
        process = psutil.Process(root)
        family = (process, *process.children(recursive=True))
    except psutil.NoSuchProcess:
        return 0.0
    total = 0.0
    for member in family:
        try:
            total += sum(member.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total
