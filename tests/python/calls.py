"""gRPC as its own library speaks it: a server that wants a credential, and a client that has none.

calls.py serve CERTIFICATE KEY    prints the port, and serves until its input ends
calls.py call HOST:PORT           makes every kind of call, and prints what went wrong
"""

import hashlib
import sys
import threading
from concurrent import futures

import grpc


def same(message):
    return message


def trusted(context):
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-begin", "1"),))
    context.set_trailing_metadata((("x-end", "2"), ("x-sum-bin", b"\x00\xff")))
    if metadata.get("authorization") != "Bearer t1":
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
    return metadata


def unary(message, context):
    metadata = trusted(context)
    if message == b"fail":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not so: \u00e4 %")
    return message + metadata.get("x-ask", "").encode()


def down(message, context):
    trusted(context)
    for number in range(int(message)):
        yield b"%d" % number


def up(messages, context):
    trusted(context)
    digest = hashlib.sha256()
    for message in messages:
        digest.update(message)
    return digest.hexdigest().encode()


def both(messages, context):
    trusted(context)
    for message in messages:
        yield b"echo " + message


def serve(certificate, key):
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
    kinds = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Down": grpc.unary_stream_rpc_method_handler(down),
        "Up": grpc.stream_unary_rpc_method_handler(up),
        "Both": grpc.stream_stream_rpc_method_handler(both),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Calls", kinds),))
    pair = (open(key, "rb").read(), open(certificate, "rb").read())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None)


def call(target):
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(), options=options) as channel:
        one = channel.unary_unary("/test.Calls/Unary")
        answer, state = one.with_call(b"hello ", metadata=(("x-ask", "there"),), timeout=60)
        assert answer == b"hello there", answer
        assert ("x-begin", "1") in state.initial_metadata(), state.initial_metadata()
        trailing = {key: value for key, value in state.trailing_metadata()}
        assert trailing["x-end"] == "2" and trailing["x-sum-bin"] == b"\x00\xff", trailing

        big = bytes(range(256)) * 16384
        assert one(big, timeout=60) == big

        try:
            one(b"fail", timeout=60)
            raise AssertionError("no error")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
            assert error.details() == "not so: \u00e4 %", error.details()

        numbers = list(channel.unary_stream("/test.Calls/Down")(b"2000", timeout=60))
        assert numbers == [b"%d" % number for number in range(2000)], len(numbers)

        pieces = [bytes([number]) * 100_000 for number in range(100)]
        digest = channel.stream_unary("/test.Calls/Up")(iter(pieces), timeout=60)
        assert digest.decode() == hashlib.sha256(b"".join(pieces)).hexdigest(), digest

        # Each message is sent when the answer to the one before is there.
        answers, arrived = [], threading.Semaphore()

        def turns():
            for number in range(200):
                arrived.acquire()
                yield b"%d" % number

        for answer in channel.stream_stream("/test.Calls/Both")(turns(), timeout=60):
            answers.append(answer)
            arrived.release()
        assert answers == [b"echo %d" % number for number in range(200)], answers

        # A call that is given up leaves the others alone.
        endless = channel.unary_stream("/test.Calls/Down")(b"100000000", timeout=60)
        next(endless)
        endless.cancel()
        together = [one.future(b"%d" % number, timeout=60) for number in range(50)]
        assert [each.result() for each in together] == [b"%d" % number for number in range(50)]
    print("ok")


{"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
