import { createHash, randomBytes } from "node:crypto";
import { type Dict, dict, text } from "../../../src/wire/json.ts";
import type { AccountState, Ledger } from "./account.ts";
import type { Reply } from "./reply.ts";
import { CLIENT_ID } from "./tokens.ts";

/** Logins by browser and by device, as the issuer sees them. */
export type SignIns = {
  /** What the issuer answers where a request is about a login; undefined where it is not. */
  readonly answer: (request: Asked) => Reply | undefined;
  /** Whose code it is, once; the error's name where the code, its proof or its addressee is not right. */
  readonly redeem: (fields: Dict) => AccountState | string;
};

type Asked = {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
};

type Code = {
  readonly account: AccountState;
  readonly challenge: string;
  readonly redirectUri: string;
};

type Device = { readonly userCode: string; account: AccountState | undefined };

const DEVICE_CALLBACK = "/deviceauth/callback";
const REDIRECT = /^http:\/\/(?:127\.0\.0\.1|localhost):(?:1455|1457|\d+)\/auth\/callback$/;

/**
 * Where people log in. Who they are is said by `as=NAME` in the address, and `deny=1` says no; without either there is
 * a page to choose on, for trying things by hand.
 */
export function createSignIns(ledger: Ledger): SignIns {
  const codes = new Map<string, Code>();
  const devices = new Map<string, Device>();

  const codeFor = (code: Code): string => {
    const word = `ac_${randomBytes(16).toString("base64url")}`;
    codes.set(word, code);
    return word;
  };

  const authorize = ({ query }: Asked): Reply => {
    const redirectUri = query.get("redirect_uri") ?? "";
    const challenge = query.get("code_challenge") ?? "";
    const fault = authorizeFault(query);
    if (fault !== undefined) return page(400, `<p>Refused: ${fault}.</p>`);
    const back = new URL(redirectUri);
    back.searchParams.set("state", query.get("state") ?? "");
    if (query.get("deny") !== null) {
      back.searchParams.set("error", "access_denied");
      back.searchParams.set("error_description", "The user said no.");
      return redirect(back);
    }
    const account = ledger.accounts.get(query.get("as") ?? "");
    if (account === undefined) return choice("/oauth/authorize", query, ledger);
    back.searchParams.set("code", codeFor({ account, challenge, redirectUri }));
    return redirect(back);
  };

  const openDevice = ({ body }: Asked): Reply => {
    if (dict(body)["client_id"] !== CLIENT_ID) return json(401, { error: "invalid_client" });
    const id = `deviceauth_${randomBytes(8).toString("hex")}`;
    const letters = randomBytes(4).toString("hex").toUpperCase();
    const userCode = `${letters.slice(0, 4)}-${letters.slice(4)}5`;
    devices.set(id, { userCode, account: undefined });
    return json(200, { device_auth_id: id, user_code: userCode, interval: "1" });
  };

  const enterCode = ({ query }: Asked): Reply => {
    const wanted = query.get("user_code");
    const device = [...devices.values()].find(({ userCode }) => userCode === wanted);
    if (device === undefined) return page(200, codeForm(wanted !== null));
    const account = ledger.accounts.get(query.get("as") ?? "");
    if (account === undefined) return choice("/codex/device", query, ledger);
    device.account = account;
    return page(200, "<p>Done. Return to your terminal.</p>");
  };

  const pollDevice = ({ body }: Asked): Reply => {
    const id = text(dict(body)["device_auth_id"]) ?? "";
    const device = devices.get(id);
    if (device === undefined || device.userCode !== dict(body)["user_code"]) {
      return json(404, { error: { code: "deviceauth_not_found" } });
    }
    if (device.account === undefined) {
      return json(403, { error: { code: "deviceauth_authorization_pending" } });
    }
    devices.delete(id);
    const verifier = randomBytes(32).toString("base64url");
    const challenge = challengeOf(verifier);
    const { account } = device;
    const code = codeFor({ account, challenge, redirectUri: DEVICE_CALLBACK });
    return json(200, {
      authorization_code: code,
      code_challenge: challenge,
      code_verifier: verifier,
    });
  };

  const routes: { readonly [route: string]: (request: Asked) => Reply } = {
    "GET /oauth/authorize": authorize,
    "POST /api/accounts/deviceauth/usercode": openDevice,
    "GET /codex/device": enterCode,
    "POST /api/accounts/deviceauth/token": pollDevice,
  };
  return {
    answer: (request) => routes[`${request.method} ${request.path}`]?.(request),
    redeem: (fields) => {
      if (fields["client_id"] !== CLIENT_ID) return "invalid_client";
      const word = text(fields["code"]) ?? "";
      const code = codes.get(word);
      // A code is spent when it is shown, rightly or not.
      codes.delete(word);
      if (code === undefined) return "invalid_grant";
      const address = String(fields["redirect_uri"]);
      const isAddress =
        code.redirectUri === DEVICE_CALLBACK
          ? URL.parse(address)?.pathname === DEVICE_CALLBACK
          : address === code.redirectUri;
      const isProved = challengeOf(String(fields["code_verifier"])) === code.challenge;
      return isAddress && isProved ? code.account : "invalid_grant";
    },
  };
}

/** What the Codex CLI's own login sends (upstream.md 6.1), and nothing else will do. */
function authorizeFault(query: URLSearchParams): string | undefined {
  const wanted = {
    response_type: /^code$/,
    client_id: new RegExp(`^${CLIENT_ID}$`),
    redirect_uri: REDIRECT,
    code_challenge: /^[\w-]{43}$/,
    code_challenge_method: /^S256$/,
    state: /^[\w-]{16,}$/,
    scope: /\boffline_access\b/,
    id_token_add_organizations: /^true$/,
    codex_cli_simplified_flow: /^true$/,
    originator: /./,
  };
  return Object.entries(wanted).find(
    ([name, pattern]) => !pattern.test(query.get(name) ?? ""),
  )?.[0];
}

function challengeOf(verifier: string): string {
  return createHash("sha256").update(verifier).digest("base64url");
}

function choice(path: string, query: URLSearchParams, ledger: Ledger): Reply {
  const links = [...ledger.accounts.keys()].map((name) => {
    const next = new URLSearchParams(query);
    next.set("as", name);
    return `<li><a href="${path}?${next.toString().replaceAll("&", "&amp;")}">${name}</a></li>`;
  });
  return page(200, `<p>Who are you?</p><ul>${links.join("")}</ul>`);
}

function codeForm(isWrong: boolean): string {
  const words = isWrong ? "No such code. " : "";
  return `<p>${words}Enter the code:</p><form><input name="user_code"><button>Go on</button></form>`;
}

function redirect(to: URL): Reply {
  return { kind: "answer", answer: { status: 302, headers: { location: to.href }, body: "" } };
}

function page(status: number, content: string): Reply {
  const headers = { "content-type": "text/html; charset=utf-8" };
  const body = `<!doctype html><title>Made-up issuer</title>${content}`;
  return { kind: "answer", answer: { status, headers, body } };
}

function json(status: number, body: Dict): Reply {
  return { kind: "answer", answer: { status, body } };
}
