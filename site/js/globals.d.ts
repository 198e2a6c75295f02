/** Names of the files that the engines fetch or start → their hashed names; defined by build.mjs. */
declare const WASM_FILES: Record<string, string> | undefined;
