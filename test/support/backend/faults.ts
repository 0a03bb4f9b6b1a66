import type { Dict } from "../../../src/wire/json.ts";
import { type Limits, limitHeaders } from "./limits.ts";

/** What the words of a fault may depend on. */
export type FaultScene = {
  readonly limits: Limits;
  readonly model: string;
  readonly nowMs: number;
};

/** A fault as it goes out. */
export type Refusal = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Dict;
};

/** A row of the catalogue: fixed, or made for the moment. */
export type Fault = {
  readonly status: number;
  readonly headers: Record<string, string> | ((scene: FaultScene) => Record<string, string>);
  readonly body: string | Dict | ((scene: FaultScene) => Dict);
};

/** The gateway's way to refuse: `{"detail":…}`. */
export function detail(status: number, words: string | Dict): Refusal {
  return { status, body: { detail: words } };
}

/** The model API's way to refuse: `{"error":{…}}`. */
export function modelError(
  message: string,
  facts: { readonly param?: string; readonly code?: string; readonly status?: number } = {},
): Refusal {
  return {
    status: facts.status ?? 400,
    body: {
      error: {
        message,
        type: "invalid_request_error",
        param: facts.param ?? null,
        code: facts.code ?? null,
      },
    },
  };
}

/** The words for a model that the account may not use. */
export function unsupportedModel(model: string): string {
  return `The '${model}' model is not supported when using Codex with a ChatGPT account.`;
}

const HTML = { "content-type": "text/html; charset=UTF-8", server: "cloudflare" };
const NO_HEADERS = {};

const DEACTIVATED =
  "Your OpenAI account has been deactivated, please check your email for more information. " +
  "If you feel this is an error, contact us through our help center at help.openai.com.";

function page(title: string, words: string): string {
  return (
    `<!DOCTYPE html><html lang="en-US"><head><title>${title}</title>` +
    '<meta http-equiv="Content-Type" content="text/html; charset=UTF-8"></head>' +
    `<body><h1>${title}</h1><p>${words}</p><hr><center>cloudflare</center></body></html>`
  );
}

function gatewayPage(status: number, words: string): Fault {
  return { status, headers: HTML, body: page(`chatgpt.com | ${status}: ${words}`, words) };
}

function authError(status: number, message: string, code: string, type: string | null): Fault {
  return {
    status,
    headers: NO_HEADERS,
    body: { error: { message, type, code, param: null }, status },
  };
}

function overloaded(code: string): Fault {
  return {
    status: 503,
    headers: NO_HEADERS,
    body: {
      error: {
        message: "Our servers are currently overloaded. Please try again later.",
        type: "service_unavailable_error",
        code,
        param: null,
      },
    },
  };
}

function invalidRequest(
  status: number,
  message: string,
  code: string | null,
  param: string | null,
) {
  return {
    status,
    headers: NO_HEADERS,
    body: { error: { message, type: "invalid_request_error", param, code } },
  } satisfies Fault;
}

function fixed(status: number, body: string | Dict, headers: Record<string, string> = NO_HEADERS) {
  return { status, headers, body } satisfies Fault;
}

function exhausted(limits: Limits): Limits {
  return { ...limits, primary: { ...limits.primary, usedPercent: 100 } };
}

/** Every refusal of `/codex/responses` that is known (upstream.md 3.2 and 5), by status and a word. */
export const FAULTS = {
  "400-detail": fixed(400, { detail: "Bad Request" }),
  "400-error": invalidRequest(
    400,
    "Invalid value: 'sometimes'. Supported values are: 'auto', 'none' and 'required'.",
    "invalid_value",
    "tool_choice",
  ),
  "400-context": fixed(400, {
    error: {
      code: "context_length_exceeded",
      message:
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
      type: "invalid_request_error",
      param: "input",
    },
  }),
  "400-cyber": invalidRequest(
    400,
    "This request was flagged for possible cybersecurity risk.",
    "cyber_policy",
    null,
  ),
  "400-model": {
    status: 400,
    headers: NO_HEADERS,
    body: ({ model }) => ({ detail: unsupportedModel(model) }),
  },
  "400-model-version": {
    status: 400,
    headers: NO_HEADERS,
    body: ({ model }) => ({
      detail: `The '${model}' model requires a newer version of Codex. Please upgrade to the latest app or CLI and try again.`,
    }),
  },
  "400-encrypted-content": invalidRequest(
    400,
    "The encrypted content gAAA…xx== could not be verified. Reason: Encrypted content could not be decrypted or parsed.",
    "invalid_encrypted_content",
    null,
  ),
  "401-expired": authError(
    401,
    "Provided authentication token is expired. Please try signing in again.",
    "token_expired",
    "invalid_request_error",
  ),
  "401-invalidated": authError(
    401,
    "Your authentication token has been invalidated. Please try signing in again.",
    "token_invalidated",
    "invalid_request_error",
  ),
  "401-revoked": authError(
    401,
    "Encountered invalidated oauth token for user, failing request",
    "token_revoked",
    null,
  ),
  "401-deactivated": authError(401, DEACTIVATED, "account_deactivated", "invalid_request_error"),
  "401-detail": fixed(401, { detail: "Unauthorized" }),
  "402-workspace": fixed(402, { detail: { code: "deactivated_workspace" } }),
  "402-workspace-error": fixed(402, {
    error: {
      message: "This workspace has been deactivated.",
      type: null,
      code: "deactivated_workspace",
      param: null,
    },
  }),
  "403-cloudflare": fixed(
    403,
    page("Just a moment...", "Enable JavaScript and cookies to continue"),
    { ...HTML, "cf-mitigated": "challenge" },
  ),
  "403-cloudflare-block": fixed(
    403,
    page("Attention Required! | Cloudflare", "Sorry, you have been blocked"),
    HTML,
  ),
  "403-workspace": fixed(403, {
    detail: "This workspace has been deactivated and can no longer be used.",
  }),
  "403-deactivated": authError(403, DEACTIVATED, "account_deactivated", "invalid_request_error"),
  "404-detail": fixed(404, { detail: "Not Found" }),
  "404-model": {
    status: 404,
    headers: NO_HEADERS,
    body: ({ model }) => ({
      error: {
        message: `The model '${model}' does not exist or you do not have access to it.`,
        type: "invalid_request_error",
        param: null,
        code: "model_not_found",
      },
    }),
  },
  "404-item": fixed(404, {
    error: {
      message:
        "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false. " +
        "Try again with `store` set to true, or remove this item from your input.",
      type: "invalid_request_error",
      param: "input",
      code: null,
    },
  }),
  "413-html": gatewayPage(413, "Request Entity Too Large"),
  "413-detail": fixed(413, { detail: "Request body is too large" }),
  "429-usage": {
    status: 429,
    headers: ({ limits, nowMs }) => limitHeaders(exhausted(limits), "full", nowMs),
    body: ({ limits, nowMs }) => ({
      error: {
        type: "usage_limit_reached",
        message: "The usage limit has been reached",
        plan_type: limits.plan,
        resets_at: limits.primary.resetAt,
        resets_in_seconds: Math.max(0, limits.primary.resetAt - Math.floor(nowMs / 1000)),
        eligible_promo: null,
      },
    }),
  },
  "429-not-included": fixed(429, {
    error: {
      type: "usage_not_included",
      message: "To use Codex with your ChatGPT plan, upgrade to Plus.",
      plan_type: "free",
    },
  }),
  "429-plain": fixed(429, {
    error: {
      message: "Rate limit reached. Please try again in 1s.",
      type: "tokens",
      param: null,
      code: "rate_limit_exceeded",
    },
  }),
  "429-plain-retry-after": fixed(
    429,
    {
      error: {
        message: "Rate limit reached. Please try again in 1s.",
        type: "rate_limit_error",
        param: null,
        code: "rate_limit_exceeded",
      },
    },
    { "retry-after": "1" },
  ),
  "429-detail": fixed(429, { detail: "Rate limit exceeded" }),
  "500": fixed(500, {
    error: {
      message:
        "An error occurred while processing your request. You can retry your request, or contact us " +
        "through our help center at help.openai.com if the error persists. " +
        "Please include the request ID 5b7f2a44-0000-4000-8000-000000000000 in your message.",
      type: "server_error",
      param: null,
      code: "server_error",
    },
  }),
  "502-html": gatewayPage(502, "Bad gateway"),
  "504-html": gatewayPage(504, "Gateway time-out"),
  "520-html": gatewayPage(520, "Web server is returning an unknown error"),
  "522-html": gatewayPage(522, "Connection timed out"),
  "524-html": gatewayPage(524, "A timeout occurred"),
  "503-overloaded": overloaded("server_is_overloaded"),
  "503-slow-down": overloaded("slow_down"),
} as const satisfies Record<string, Fault>;

/** A row of `FAULTS`. */
export type FaultName = keyof typeof FAULTS;

/** A row of `FAULTS`, made for an account and a moment. */
export function refusalOf(name: FaultName, scene: FaultScene): Refusal {
  const fault: Fault = FAULTS[name];
  return {
    status: fault.status,
    headers: typeof fault.headers === "function" ? fault.headers(scene) : fault.headers,
    body: typeof fault.body === "function" ? fault.body(scene) : fault.body,
  };
}
