"""Generate calls under way at the same time, on one channel."""
import contextlib
import hashlib
import pathlib
import threading

import grpc
from ilf.v1 import image_generation_pb2 as pb
from ilf.v1 import image_generation_pb2_grpc as rpc
from replicas import PATIENCE, wait_for

_CONFIGS = pathlib.Path(__file__).parents[2] / "deploy/scale-out"
ROUND_ROBIN = (_CONFIGS / "client-round-robin.json").read_text("utf-8")
BEHIND_BALANCER = (_CONFIGS / "client-behind-balancer.json").read_text("utf-8")


@contextlib.contextmanager
def open_channel(target, service_config=BEHIND_BALANCER, retries=True):
    """A channel with connections of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.service_config", service_config),
               ("grpc.enable_retries", int(retries))]
    with grpc.insecure_channel(target, options) as channel:
        yield rpc.ImageGenerationServiceStub(channel)


class Stream:
    """One picture of one seed, with a preview of every step."""

    def __init__(self, stub, request_id, seed, steps):
        self.id = request_id
        self.key = f"seed {seed}, {steps} steps"
        self.code = None  # once it has ended
        self.message = ""
        self.digest = None  # of the picture
        self._previewed = threading.Event()
        request = pb.GenerateRequest(class_label=pb.ClassLabel(index=seed % 10), seed=seed, steps=steps,
                                     guidance_scale=1, request_id=request_id, acceleration=pb.ACCELERATION_OFF,
                                     preview=pb.PreviewOptions(every_n_steps=1))
        self._call = stub.Generate(request, timeout=2 * PATIENCE, wait_for_ready=False)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        data = b""
        try:
            for event in self._call:
                kind = event.WhichOneof("event")
                if kind == "preview":
                    self._previewed.set()
                elif kind == "image":
                    data += event.image.data
                elif kind == "completed":
                    self.digest = hashlib.sha256(data).hexdigest()
            self.code = "OK" if self.digest else "no picture"
        except grpc.RpcError as error:
            self.code, self.message = error.code().name, error.details()

    def wait_for_preview(self):
        """Until it is being painted; fails where it has ended."""
        wait_for(lambda: self._previewed.is_set() or self.code, f"the first preview of {self.id}")

    def cancel(self):
        self._call.cancel()

    def join(self):
        self._thread.join(2 * PATIENCE)
