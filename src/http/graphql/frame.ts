/** FIN and the opcode of a text (RFC 6455, 5.2). */
const TEXT = 0x81;
const LENGTH_IN_TWO_BYTES = 126;
const LENGTH_IN_EIGHT_BYTES = 127;

/**
 * The begin of a WebSocket text message that a server sends in one frame, not masked (RFC 6455, 5.1 and 5.2): the frame's
 * header and then `text`. So many bytes as `restBytes` says must follow.
 */
export function beginTextFrame(text: string, restBytes: number): Buffer {
  const textBytes = Buffer.byteLength(text);
  const length = textBytes + restBytes;
  const at = length < LENGTH_IN_TWO_BYTES ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(at + textBytes);
  frame[0] = TEXT;
  switch (at) {
    case 2:
      frame[1] = length;
      break;
    case 4:
      frame[1] = LENGTH_IN_TWO_BYTES;
      frame.writeUInt16BE(length, 2);
      break;
    default:
      frame[1] = LENGTH_IN_EIGHT_BYTES;
      frame.writeBigUInt64BE(BigInt(length), 2);
  }
  frame.write(text, at);
  return frame;
}
