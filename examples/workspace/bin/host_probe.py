"""Measure disk, memory and load of this machine; print one JSON object."""

import json
import os
import shutil
import socket
import sys


def memory_percent():
    values = {}
    with open("/proc/meminfo", encoding="ascii") as lines:
        for line in lines:
            name, rest = line.split(":", 1)
            values[name] = int(rest.split()[0])
    return round(100 * (1 - values["MemAvailable"] / values["MemTotal"]), 1)


disk = shutil.disk_usage(".")
load = os.getloadavg()[0]
cpus = os.cpu_count() or 1
print(f"load {load:.2f} on {cpus} CPUs", file=sys.stderr)
json.dump(
    {
        "hostname": socket.gethostname(),
        "disk_percent": round(100 * disk.used / disk.total, 1),
        "disk_free_gib": round(disk.free / 2**30, 1),
        "memory_percent": memory_percent(),
        "load_per_cpu": round(load / cpus, 2),
    },
    sys.stdout,
)
