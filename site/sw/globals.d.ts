/** What the service worker keeps: its digest, and paths inside the site → SHA-256; put before the script by the renderer. */
declare const SHELL: { digest: string; files: Record<string, string> };
