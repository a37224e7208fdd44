const CELL_BITS = 160;
const SHIFT = 11;

/**
 * OneDrive's and SharePoint's hash: each byte is XORed into 160 bits, 11 bits further than the one before, and the
 * length into the last 64. Bytes that are 160 apart meet at the same place, so they are folded first.
 * https://learn.microsoft.com/onedrive/developer/code-snippets/quickxorhash
 */
export class QuickXor {
  readonly #folded = new Uint8Array(CELL_BITS);
  #length = 0;

  update(chunk: Uint8Array): void {
    let at = this.#length % CELL_BITS;
    for (let i = 0; i < chunk.length; i++) {
      this.#folded[at] = (this.#folded[at] as number) ^ (chunk[i] as number);
      at = at + 1 === CELL_BITS ? 0 : at + 1;
    }
    this.#length += chunk.length;
  }

  hex(): string {
    let bits = 0n;
    for (const [i, byte] of this.#folded.entries()) {
      const place = BigInt((i * SHIFT) % CELL_BITS);
      const wide = BigInt(byte) << place;
      bits ^= (wide & ((1n << 160n) - 1n)) | (wide >> 160n);
    }
    bits ^= BigInt(this.#length) << 96n;
    return Buffer.from(bits.toString(16).padStart(40, '0'), 'hex').reverse().toString('hex');
  }
}
