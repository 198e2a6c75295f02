/** Names of the engine's .wasm files → their hashed names; defined by build.mjs. */
declare const WASM_FILES: Record<string, string> | undefined;
