"""Another host's TCP: it answers every request that is routed to its device, and has no socket in this kernel.

python3 outside.py DEVICE NETWORK

It keeps nothing: each segment holds all that its answer needs. Requests fit one segment, and so do answers.
"""

import fcntl
import os
import struct
import subprocess
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npaid"

device, network = sys.argv[1:]
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
subprocess.run(["ip", "link", "set", device, "up"], check=True)
subprocess.run(["ip", "route", "add", network, "dev", device], check=True)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def answer_to(packet):
    """The segment to send back, if one is due."""
    if packet[0] >> 4 != 4 or packet[9] != 6:
        return None
    segment = packet[(packet[0] & 15) * 4 : int.from_bytes(packet[2:4], "big")]
    source, destination, number, acknowledged, offset, flags = struct.unpack("!HHIIBB", segment[:14])
    data = segment[(offset >> 4) * 4 :]
    if flags & RST:
        return None
    if flags & SYN:
        begin, number, flags, payload = int.from_bytes(os.urandom(4), "big"), number + 1, SYN | ACK, b""
    elif data:
        begin, number, flags, payload = acknowledged, number + len(data), PSH | ACK, ANSWER
    elif flags & FIN:
        begin, number, flags, payload = acknowledged, number + 1, FIN | ACK, b""
    else:
        return None
    return source, destination, begin, number & 0xFFFFFFFF, flags, payload


while True:
    packet = os.read(tun, 65536)
    due = answer_to(packet)
    if due is None:
        continue
    source, destination, begin, number, flags, payload = due
    here, there = packet[16:20], packet[12:16]
    header = struct.pack("!HHIIBBHHH", destination, source, begin, number, 5 << 4, flags, 65535, 0, 0)
    pseudo = here + there + struct.pack("!BBH", 0, 6, len(header) + len(payload))
    header = header[:16] + struct.pack("!H", checksum(pseudo + header + payload)) + header[18:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + len(payload), 0, 0x4000, 64, 6, 0, here, there)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    os.write(tun, ip + header + payload)
