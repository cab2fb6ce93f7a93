"""Pictures of prompts from a running ilf-server, many requests at a time."""
import concurrent.futures
import dataclasses
import os
import pathlib
import sys
import time

PROTO = pathlib.Path(__file__).resolve().parents[1] / "proto"
CALL_SECONDS = 600
FIRST_WAIT_SECONDS = 1.0  # where a refusal says nothing of when to come back
PATIENCE_SECONDS = 600  # between two pictures that the server takes


class ProtocolError(Exception):
    """The server sent what its protocol rules out."""


@dataclasses.dataclass(frozen=True)
class Order:
    prompt: str
    seed: int
    guidance: float
    output: pathlib.Path


def assemble(events):
    """The bytes of the one image of a stream of GenerateResponse."""
    data, done = bytearray(), False
    for event in events:
        if event.WhichOneof("event") != "image":
            continue
        chunk = event.image
        if done or chunk.image_index != 0 or chunk.chunk_offset != len(data):
            raise ProtocolError(f"a chunk of image {chunk.image_index} at byte {chunk.chunk_offset}, "
                                f"after {len(data)} bytes of image 0")
        data += chunk.data
        done = chunk.last_chunk
        if done and len(data) != chunk.total_size:
            raise ProtocolError(f"{len(data)} bytes of an image of {chunk.total_size}")
    if not done:
        raise ProtocolError(f"the stream ended after {len(data)} bytes of an image")
    return bytes(data)


def load_protocol():
    """(messages, services) of the server's API, compiled from its .proto file."""
    import grpc
    sys.path.insert(0, str(PROTO))  # where the compiler looks for it
    try:
        return grpc.protos_and_services("ilf/v1/image_generation.proto")
    finally:
        sys.path.remove(str(PROTO))


def retry_seconds(error):
    """When to come back after a refusal; None where coming back does not help."""
    import grpc
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status
    if error.code() not in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE):
        return None
    status = rpc_status.from_call(error)
    info = error_details_pb2.RetryInfo()
    for detail in status.details if status else []:
        if detail.Unpack(info):
            return info.retry_delay.ToTimedelta().total_seconds()
    return FIRST_WAIT_SECONDS


class Painter:
    """Paints orders on one channel; safe to call from many threads."""

    def __init__(self, channel, model, steps, acceleration):
        self.messages, services = load_protocol()
        self.stub = services.ImageGenerationServiceStub(channel)
        self.model = model
        self.steps = steps
        self.acceleration = self.messages.Acceleration.Value(f"ACCELERATION_{acceleration.upper()}")

    def request(self, order):
        return self.messages.GenerateRequest(
            model=self.model, text_prompt=self.messages.TextPrompt(prompt=order.prompt), steps=self.steps,
            acceleration=self.acceleration, guidance_scale=order.guidance, seed=order.seed, image_count=1,
            output_format=self.messages.IMAGE_FORMAT_PNG)

    def generate(self, order):
        """The PNG. Comes back to a server that is full, when it says so, for PATIENCE_SECONDS."""
        import grpc
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return assemble(self.stub.Generate(self.request(order), timeout=CALL_SECONDS))
            except grpc.RpcError as error:
                wait = retry_seconds(error)
                if wait is None or time.monotonic() + wait > give_up:
                    raise
                time.sleep(wait)

    def paint(self, order):
        """Writes the whole file or none, so that what is there need not be painted again."""
        data = self.generate(order)
        order.output.parent.mkdir(parents=True, exist_ok=True)
        partial = order.output.with_suffix(".partial")
        partial.write_bytes(data)
        os.replace(partial, order.output)


def paint_all(painter, orders, in_flight, report=lambda done, total: None):
    """Paints what is not there yet. The first failure ends it, once the requests in flight are through."""
    missing = [order for order in orders if not order.output.exists()]
    with concurrent.futures.ThreadPoolExecutor(in_flight) as pool:
        running = [pool.submit(painter.paint, order) for order in missing]
        try:
            for done, future in enumerate(concurrent.futures.as_completed(running), 1):
                future.result()
                report(done, len(missing))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return len(missing)
