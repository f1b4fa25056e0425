"""A stand-in for vLLM's process tree: a leader that serves HTTP, an engine child, and a worker in a session of its own.

    python fake_vllm.py --marker WORD [--start-s 0.3] [--fail TEXT] [--code 1] vLLM's own flags...

Like vLLM, the leader ends its children on SIGTERM and leaves them behind on SIGKILL; unlike vLLM, the children ignore
SIGTERM, which is the worst case. As in vLLM, their titles write over their environment. `--fail` prints a text and ends
before it is ready.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STUBBORN = (
    "import signal, subprocess, sys, time\n"
    "from setproctitle import setproctitle\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "setproctitle(f'FAKE::{sys.argv[2]} ' + sys.argv[1])\n"
    "if sys.argv[2] == 'engine':\n"
    "    subprocess.Popen([sys.executable, '-c', sys.argv[3], sys.argv[1], 'worker', ''], start_new_session=True)\n"
    "time.sleep(600)\n"
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    names: tuple[str, ...] = ()
    content = "你好！"
    sick_file: Path | None = None
    silent_file: Path | None = None

    def do_GET(self) -> None:
        while self.silent_file and self.silent_file.exists():
            time.sleep(0 if self.silent_file.name == "computing" else 0.05)
        if self.path == "/health":
            self.answer({}, 503 if self.sick_file and self.sick_file.exists() else 200)
        else:
            self.answer({"data": [{"id": name} for name in self.names]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("load_lora_adapter"):
            kept = [name for name in self.names if name != body["lora_name"]]
            Handler.names = (*kept, body["lora_name"]) if "lora_path" in body else tuple(kept)
        if self.path.endswith("/slow"):
            time.sleep(1)
        message = {"role": "assistant", "content": self.content}
        self.answer({"choices": [{"message": message, "finish_reason": "stop"}]})

    def answer(self, body: object, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Keeps the log quiet."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--marker", required=True)
    parser.add_argument("--start-s", type=float, default=0.3)
    parser.add_argument("--fail", default="")
    parser.add_argument("--code", type=int, default=1)
    parser.add_argument("--content", default="你好！")
    parser.add_argument("--sick-file", type=Path)
    parser.add_argument("--silent-file", type=Path, help="no answer while it is there; `computing` computes")
    parser.add_argument("--reuse-port", action="store_true", help="listen as vLLM does")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--served-model-name", nargs="+", default=["fake"])
    args, _ = parser.parse_known_args()
    engine = subprocess.Popen([sys.executable, "-c", STUBBORN, args.marker, "engine", STUBBORN])

    def end(number: int, frame: object) -> None:
        engine.kill()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    print("Initializing a V1 LLM engine\nStarting to load model", flush=True)
    time.sleep(args.start_s)
    if args.fail:
        print(args.fail, flush=True)
        if args.code < 0:
            os.kill(os.getpid(), -args.code)
        os._exit(args.code)
    Handler.names = tuple(args.served_model_name)
    Handler.content = args.content
    Handler.sick_file, Handler.silent_file = args.sick_file, args.silent_file
    ThreadingHTTPServer.allow_reuse_port = args.reuse_port
    server = ThreadingHTTPServer((args.host, args.port), Handler)
    print("Starting vLLM server", flush=True)
    threading.Thread(target=server.serve_forever).start()


if __name__ == "__main__":
    main()
