/**
 * Python's simple repository index (PEP 503 as HTML, PEP 691 as JSON), read without Python: where
 * the user's pip settings say that packages come from, and where a file lies there.
 *
 * @module
 */
import { join } from "@std/path";
import type { Wheel } from "./wheels.ts";

/** What the user's pip settings say that matters for a download. */
export type PipSettings = {
  /** Addresses of simple indexes, the main one first. */
  indexes: string[];
  /** A file of certificates to trust. */
  cert: string | undefined;
  proxy: string | undefined;
};

export type PipSettingsOptions = {
  env?: (name: string) => string | undefined;
  /** Reads a settings file; undefined where there is none. */
  read?: (path: string) => Promise<string | undefined>;
  os?: typeof Deno.build.os;
};

/**
 * The user's pip settings, from the files and environment variables that pip itself reads, the
 * later ones first in rank: system, user, virtual environment, `PIP_CONFIG_FILE`, `PIP_*`.
 */
export async function readPipSettings(
  {
    env = (name) => Deno.env.get(name),
    read = (path) => Deno.readTextFile(path).catch(() => undefined),
    os = Deno.build.os,
  }: PipSettingsOptions = {},
): Promise<PipSettings> {
  const values = new Map<string, string>();
  for (const path of settingsFiles(env, os)) {
    const text = await read(path);
    if (text === undefined) continue;
    const sections = parseIni(text);
    for (const name of ["global", "download"]) {
      for (const [key, value] of sections.get(name) ?? []) values.set(key, value);
    }
  }
  const get = (key: string) =>
    env(`PIP_${key.toUpperCase().replaceAll("-", "_")}`) || values.get(key) || undefined;
  const words = (text: string | undefined) => text?.split(/\s+/).filter((word) => word) ?? [];
  return {
    indexes: [...words(get("index-url")), ...words(get("extra-index-url"))],
    cert: get("cert"),
    proxy: get("proxy"),
  };
}

function settingsFiles(
  env: (name: string) => string | undefined,
  os: typeof Deno.build.os,
): string[] {
  const chosen = env("PIP_CONFIG_FILE");
  if (chosen === "/dev/null" || chosen === "nul") return [];
  const home = env("HOME") ?? env("USERPROFILE") ?? "";
  const files = os === "windows"
    ? [
      join(env("PROGRAMDATA") ?? "C:/ProgramData", "pip", "pip.ini"),
      join(env("APPDATA") ?? join(home, "AppData", "Roaming"), "pip", "pip.ini"),
    ]
    : [
      ...(env("XDG_CONFIG_DIRS") ?? "/etc/xdg").split(":").map((d) => join(d, "pip", "pip.conf")),
      "/etc/pip.conf",
      join(home, ".pip", "pip.conf"),
      ...(os === "darwin" ? [join(home, "Library", "Application Support", "pip", "pip.conf")] : []),
      join(env("XDG_CONFIG_HOME") ?? join(home, ".config"), "pip", "pip.conf"),
    ];
  const venv = env("VIRTUAL_ENV");
  if (venv) files.push(join(venv, os === "windows" ? "pip.ini" : "pip.conf"));
  if (chosen) files.push(chosen);
  return files;
}

/** The sections of a settings file; a value may go on in indented lines. */
function parseIni(text: string): Map<string, Map<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let section: Map<string, string> | undefined;
  let last: string | undefined;
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*([#;].*)?$/.test(line)) continue;
    const head = /^\[([^\]]+)\]/.exec(line);
    const pair = /^([^\s=:][^=:]*?)\s*[=:]\s*(.*)$/.exec(line);
    if (head) {
      section = sections.get(head[1]) ?? new Map();
      sections.set(head[1], section);
      last = undefined;
    } else if (/^\s/.test(line) && section && last !== undefined) {
      section.set(last, `${section.get(last)} ${line.trim()}`.trim());
    } else if (pair && section) {
      last = pair[1].toLowerCase().replaceAll("_", "-");
      section.set(last, pair[2].trim());
    }
  }
  return sections;
}

/** A file as an index lists it. */
export type IndexFile = { file: string; url: string; sha256: string | undefined };

/** The files on a project's page; `base` is the page's address. */
export function parseIndexPage(
  text: string,
  { base, contentType }: { base: string; contentType: string },
): IndexFile[] {
  if (contentType.includes("json")) {
    const { files } = JSON.parse(text) as {
      files: { filename: string; url: string; hashes?: { sha256?: string } }[];
    };
    return files.map(({ filename, url, hashes }) => ({
      file: filename,
      url: new URL(url, base).href,
      sha256: hashes?.sha256,
    }));
  }
  const files: IndexFile[] = [];
  for (const [, attributes, label] of text.matchAll(/<a\s([^>]*)>([^<]*)<\/a\s*>/gi)) {
    const href = /\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')/i.exec(attributes);
    if (!href) continue;
    const url = new URL(unescapeHtml(href[1] ?? href[2]), base);
    const sha256 = /^#sha256=([0-9a-f]{64})$/.exec(url.hash)?.[1];
    url.hash = "";
    files.push({ file: unescapeHtml(label.trim()), url: url.href, sha256 });
  }
  return files;
}

function unescapeHtml(text: string): string {
  const named: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (all, ten, hex, name) => {
    if (ten) return String.fromCodePoint(Number(ten));
    return hex ? String.fromCodePoint(parseInt(hex, 16)) : named[name.toLowerCase()] ?? all;
  });
}

const ACCEPT =
  "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/** What a request needs beside its address: name and password, taken out of it. */
export function request(address: string): { url: string; headers: Record<string, string> } {
  const url = new URL(address);
  const { username, password } = url;
  url.username = url.password = "";
  if (!username && !password) return { url: url.href, headers: {} };
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const bytes = new TextEncoder().encode(login);
  return {
    url: url.href,
    headers: { authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` },
  };
}

/**
 * Where a wheel lies, asked of each index in turn.
 *
 * @throws {Deno.errors.NotFound} where no index is configured, or none lists the file.
 * @throws {Deno.errors.InvalidData} where an index lists it under another checksum.
 */
export async function findWheel(
  wheel: Wheel,
  { settings: { indexes }, client }: {
    settings: Pick<PipSettings, "indexes">;
    client?: Deno.HttpClient | undefined;
  },
): Promise<{ url: string; headers: Record<string, string> }> {
  if (indexes.length === 0) {
    throw new Deno.errors.NotFound(
      `Cannot fetch ${wheel.file} as there is neither pip nor a package index in its settings: ` +
        "install Python with pip, or name an index with a simple API, " +
        "as index-url in pip.conf or in the environment variable PIP_INDEX_URL",
    );
  }
  const reasons: string[] = [];
  for (const index of indexes) {
    const { url, headers } = request(`${index.replace(/\/+$/, "")}/${wheel.project}/`);
    const host = new URL(url).host;
    const response = await fetch(url, {
      headers: { ...headers, accept: ACCEPT },
      ...(client ? { client } : {}),
    }).catch((error: Error) => error);
    if (response instanceof Error || !response.ok) {
      reasons.push(
        `${host}: ${response instanceof Error ? response.message : `answered ${response.status}`}`,
      );
      if (!(response instanceof Error)) await response.body?.cancel();
      continue;
    }
    const files = parseIndexPage(await response.text(), {
      base: response.url || url,
      contentType: response.headers.get("content-type") ?? "text/html",
    });
    const found = files.find(({ file }) => file === wheel.file);
    if (!found) {
      reasons.push(`${host}: does not list it`);
      continue;
    }
    if (found.sha256 !== undefined && found.sha256 !== wheel.sha256) {
      throw new Deno.errors.InvalidData(
        `Cannot use ${wheel.file} from ${host} as the index gives another checksum: ` +
          `SHA-256 is ${found.sha256}, must be ${wheel.sha256}`,
      );
    }
    // a file on the index's own host takes the same login
    const sameHost = new URL(found.url).host === host;
    return { url: found.url, headers: sameHost ? headers : {} };
  }
  throw new Deno.errors.NotFound(`Cannot fetch ${wheel.file}: ${reasons.join("; ")}`);
}

/** An HTTP client with the certificates and the proxy of the settings; undefined where they name none. */
export async function clientFor(
  { cert, proxy }: Pick<PipSettings, "cert" | "proxy">,
): Promise<Deno.HttpClient | undefined> {
  if (!cert && !proxy) return undefined;
  return Deno.createHttpClient({
    ...(cert ? { caCerts: splitCertificates(await Deno.readTextFile(cert)) } : {}),
    ...(proxy ? { proxy: { url: proxy } } : {}),
  });
}

function splitCertificates(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}
