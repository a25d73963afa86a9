"""A stand-in for the Dataflow service on a loopback port: takes jobs over its REST interface and runs them.

A job is what the service gets: the pipeline that the launcher has staged, and nothing else of the launcher. It runs on
FnApiRunner, its environment swapped for this process. Not reproduced: workers on other machines, containers, retries
(the service tries a failing bundle four times), quotas, the time that a job waits for machines.

python fake_service.py JOURNAL      prints the port; each request becomes a line of JSON in the file JOURNAL
"""

import json
import re
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

_JOBS = re.compile(r"/v1b3/projects/([^/?]+)/locations/([^/?]+)/jobs(?:/([^/?]+))?(/messages)?(?:\?.*)?")
_SLOWLY = 0.3  # seconds from one state to the next
_ENDED = ("JOB_STATE_DONE", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")


def now():
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class Job:
    """One submission. Its thread takes it from state to state, unless it is cancelled before."""

    def __init__(self, number, request):
        self.request = request
        self.id = f"2026-01-01_00_00_00-{number}"
        self.state = "JOB_STATE_PENDING"
        self.messages = []
        threading.Thread(target=self._work, daemon=True).start()

    def cancel(self):
        """What the service does when it is asked to; the work of a thread can't be stopped, only disowned."""
        self._reach("JOB_STATE_CANCELLED")

    def as_json(self):
        answer = {name: self.request[name] for name in ("name", "type", "clientRequestId") if name in self.request}
        return answer | {"id": self.id, "currentState": self.state, "currentStateTime": now()}

    def _reach(self, state):
        if self.state not in _ENDED:
            self.state = state

    def _work(self):
        time.sleep(_SLOWLY)
        self._reach("JOB_STATE_RUNNING")
        self._say("JOB_MESSAGE_BASIC", "Worker configuration: none, this is a test")
        try:
            state = FnApiRunner().run_via_runner_api(self._pipeline(), PipelineOptions([])).wait_until_finish()
        except Exception:
            self._say("JOB_MESSAGE_ERROR", traceback.format_exc())
            state = "FAILED"
        time.sleep(_SLOWLY)
        self._reach(f"JOB_STATE_{state}")

    def _pipeline(self):
        staged = self.request["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
        with FileSystems.open(staged) as stream:
            pipeline = beam_runner_api_pb2.Pipeline.FromString(stream.read())
        for environment in pipeline.components.environments.values():
            if environment.urn != common_urns.environments.DOCKER.urn:
                raise ValueError(f"the service runs containers only, not {environment.urn}")
            environment.urn = "beam:env:embedded_python:v1"
            environment.payload = b""
            del environment.dependencies[:]
        return pipeline

    def _say(self, importance, text):
        self.messages.append(
            {"id": str(len(self.messages)), "time": now(), "messageImportance": importance, "messageText": text}
        )


class Requests(BaseHTTPRequestHandler):
    """POST jobs, GET jobs/ID, GET jobs/ID/messages, PUT jobs/ID with requestedState; all else is an error 404."""

    jobs: "dict[str, Job]"
    journal: Path
    lock: threading.Lock
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked, request = self._read()
        if asked is None or asked[3]:
            return self._answer(404, {"error": {"code": 404, "message": "no such call", "status": "NOT_FOUND"}})
        with self.lock:
            name = request["name"]
            if any(job.request["name"] == name and job.state not in _ENDED for job in self.jobs.values()):
                message = f"There is already an active job named {name}."
                return self._answer(409, {"error": {"code": 409, "message": message, "status": "ALREADY_EXISTS"}})
            job = Job(len(self.jobs), request)
            self.jobs[job.id] = job
        return self._answer(200, job.as_json())

    def do_PUT(self):
        asked, request = self._read()
        job = self.jobs.get(asked[2]) if asked else None
        if job is None or request.get("requestedState") not in ("JOB_STATE_CANCELLED", 5):
            return self._answer(404, {"error": {"code": 404, "message": "no such call", "status": "NOT_FOUND"}})
        job.cancel()
        return self._answer(200, job.as_json())

    def do_GET(self):
        asked, _ = self._read()
        if asked and asked[2] is None:
            return self._answer(200, {"jobs": [job.as_json() for job in self.jobs.values()]})
        job = self.jobs.get(asked[2]) if asked else None
        if job is None:
            return self._answer(404, {"error": {"code": 404, "message": "no such job", "status": "NOT_FOUND"}})
        return self._answer(200, {"jobMessages": job.messages} if asked[3] else job.as_json())

    def log_message(self, *_):
        pass

    def _read(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match = _JOBS.fullmatch(self.path)
        request = json.loads(body) if body else {}
        with self.lock, self.journal.open("a") as stream:
            stream.write(json.dumps({"method": self.command, "path": self.path, "body": request}) + "\n")
        return match and ("", *match.groups()[1:]), request

    def _answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main(journal):
    Requests.jobs = {}
    Requests.lock = threading.Lock()
    Requests.journal = Path(journal)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    print(server.server_port, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
