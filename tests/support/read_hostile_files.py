"""Worker of test_features_hostile.py: read one file after the other, one JSON line each, in a process of its own."""

import json
import resource
import sys
import time
from pathlib import Path

MEMORY = 6 << 30  # bytes of address space; MediaPipe and its models take about 3 GiB of it

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    import numpy as np

    from perfrdiff.errors import InputError
    from perfrdiff.features.clip import read_listener, read_speaker

    def peak_mb() -> int:
        """Most memory held since this program began (`ru_maxrss` would count the test runner that started it)."""
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) // 1024

    def numbers(result) -> list[np.ndarray]:
        return [value for value in vars(result).values() if isinstance(value, np.ndarray)]

    opened: list[str] = []
    sys.addaudithook(lambda event, args: opened.append(event) if event == "socket.connect" else None)
    for line in sys.stdin:
        kind, path = line.rstrip("\n").split("\t")
        start, answer = time.monotonic(), {"file": Path(path).name}
        try:
            result = (read_listener if kind == "listener" else read_speaker)(path)
            answer |= {"outcome": "read", "finite": all(np.isfinite(one).all() for one in numbers(result))}
            answer |= {"notes": result.notes}
            if kind == "speaker":
                answer["frames"] = len(result.coefficients)
                answer["heard"] = result.waveform is not None and not result.waveform.is_silent
            else:
                answer["mean"] = result.photo.mean(axis=(0, 1)).tolist()
                answer["roll"] = float(result.photo_coefficients[54])
        except InputError as error:
            answer |= {"outcome": "refused", "sentence": str(error)}
        except BaseException as error:
            answer |= {"outcome": "crashed", "sentence": repr(error)}
        answer |= {"seconds": round(time.monotonic() - start, 2), "sockets": len(opened)}
        answer["peak_mb"] = peak_mb()
        print(json.dumps(answer), flush=True)
