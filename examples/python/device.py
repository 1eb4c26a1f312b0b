"""A device in twenty lines: registers, prints what clients send, and answers. Needs: pip install websockets"""

import asyncio
import json
import sys

import websockets


async def main(server: str, device_id: str) -> None:
    async with websockets.connect(f"{server}/register_device") as socket:
        info = {"name": "a device in Python"}  # any JSON; every client gets it as it is
        await socket.send(json.dumps({"message_type": "register", "device_id": device_id, "device_info": info}))
        async for text in socket:
            message = json.loads(text)
            print(message, flush=True)
            if message.get("message_type") == "client_msg":
                answer = {"you_sent": message["payload"]}  # here your device would negotiate WebRTC
                forward = {"message_type": "forward", "client_id": message["client_id"], "payload": answer}
                await socket.send(json.dumps(forward))


asyncio.run(main(*(sys.argv[1:] or ["ws://127.0.0.1:8080", "my-device"])))
