/** Names of what engines fetch or start, such as their .wasm files → hashed names; defined by build.mjs. */
declare const WASM_FILES: Record<string, string> | undefined;
