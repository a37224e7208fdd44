/** CRC-32C (Castagnoli), big-endian, bit by bit: slow, and independent of what it is a check for. */
export function crc32c(bytes: Uint8Array): Buffer {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ (TABLE[(value ^ byte) & 0xff] as number);
  const out = Buffer.alloc(4);
  out.writeUInt32BE(~value >>> 0);
  return out;
}

const TABLE = Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value >>> 0;
});
