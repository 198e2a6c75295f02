/** The file name of the library's worker, and the version; defined by the build. */
declare const LIBRARY_WORKER: string;
declare const LIBRARY_VERSION: string;
