/** What the service worker keeps, at once and once used: paths inside the site → SHA-256; put here by the renderer. */
declare const SHELL: { digest: string; files: Record<string, string>; later: Record<string, string> };
