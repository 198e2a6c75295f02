/** What our engine's WebAssembly exports, and how it becomes an instance on a memory, which threads share. */

/**
 * What the engine exports; addresses are numbers.
 * @typedef {object} Exports
 * @property {() => number} contract
 * @property {() => number} description
 * @property {() => number} fault
 * @property {() => number} bytes_needed
 * @property {() => number} prepare
 * @property {() => number} staging
 * @property {(slot: number, bytes: number, bits: number) => number} fill
 * @property {() => number} finish
 * @property {(image: number) => number} input
 * @property {(image: number) => number} output
 * @property {() => number} outputs
 * @property {(thread: number) => number} stack_top
 * @property {(threads: number) => number} run
 * @property {(images: number) => number} run_images
 * @property {(thread: number) => void} work
 * @property {() => void} quit
 * @property {WebAssembly.Global} __stack_pointer
 */

/** @param {WebAssembly.Module} module @param {WebAssembly.Memory} memory @returns {Promise<Exports>} */
export async function link(module, memory) {
  const instance = await WebAssembly.instantiate(module, { env: { memory } });
  return /** @type {Exports} */ (/** @type {unknown} */ (instance.exports));
}
