"""A client: waits for a device, sends it one message and prints the answer. Needs: pip install websockets"""

import asyncio
import json
import sys

import websockets


async def main(server: str, device_id: str) -> None:
    async with websockets.connect(f"{server}/connect_client") as socket:
        await socket.send(json.dumps({"message_type": "connect", "device_id": device_id}))
        async for text in socket:
            message = json.loads(text)
            print(message, flush=True)
            if "error" in message:
                sys.exit(1)
            if message["message_type"] == "device_info":  # the device is there
                await socket.send(json.dumps({"message_type": "forward", "payload": {"hello": "device"}}))
            if message["message_type"] == "device_msg":
                return


asyncio.run(main(*(sys.argv[1:] or ["ws://127.0.0.1:8080", "my-device"])))
