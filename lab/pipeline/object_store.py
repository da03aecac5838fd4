"""A store that speaks Amazon's S3 protocol, in a process of its own: moto's server (test extra).

It checks signatures against the keys that it gave out, as Amazon does, once `require_keys` said so.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import boto3

from worker.local.processes import stop

REGION = "us-east-1"
STARTS_IN_S = 60.0
_POLICY = {"Version": "2012-10-17"} | {
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
}


@dataclass(frozen=True, kw_only=True)
class ObjectStore:
    """A running store with one bucket, and the keys that open it."""

    url: str
    process_id: int
    bucket: str
    key_id: str
    secret: str

    def environment(self) -> Mapping[str, str]:
        """What a worker's environment must hold to read from it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
        }

    def put(self, key: str, data: bytes) -> None:
        """Store an object in the bucket."""
        self._client("s3").put_object(Bucket=self.bucket, Key=key, Body=data)

    def create_bucket(self, name: str) -> None:
        self._client("s3").create_bucket(Bucket=name)

    def require_keys(self) -> None:
        """From now on refuse what is not signed with the keys."""
        asked = Request(  # noqa: S310 - the server that was just started
            f"{self.url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}
        )
        with urlopen(asked):  # noqa: S310
            pass

    def _client(self, service: str) -> boto3.client:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.key_id,
            aws_secret_access_key=self.secret,
        )


@contextmanager
def object_store(files: Sequence[Path] = (), bucket: str = "shop") -> Iterator[ObjectStore]:
    """A store that holds the files under `photos/` in its bucket."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_clean_environment()
    )
    try:
        _wait_for(process, url)
        first = ObjectStore(
            url=url,
            process_id=process.pid,
            bucket=bucket,
            key_id="first",
            secret="first",  # noqa: S106
        )
        iam = first._client("iam")
        iam.create_user(UserName="worker")
        iam.put_user_policy(
            UserName="worker", PolicyName="photos", PolicyDocument=json.dumps(_POLICY)
        )
        key = iam.create_access_key(UserName="worker")["AccessKey"]
        store = ObjectStore(
            url=url,
            process_id=process.pid,
            bucket=bucket,
            key_id=key["AccessKeyId"],
            secret=key["SecretAccessKey"],
        )
        store.create_bucket(bucket)
        for file in files:
            store.put(f"photos/{file.name}", file.read_bytes())
        yield store
    finally:
        stop([process], grace_s=2)


def _clean_environment() -> dict[str, str]:
    """Nothing of this machine's own keys and settings for stores."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + STARTS_IN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"expected a store at {url}, found that moto's server ended")
        with suppress(OSError), urlopen(f"{url}/moto-api/", timeout=5):  # noqa: S310
            return
        time.sleep(0.1)
    raise RuntimeError(f"expected a store at {url} within {STARTS_IN_S:.0f} s, found none")
