import { Type } from "@sinclair/typebox";

/** What starts a login. */
export const LOGIN_START = Type.Object({
  method: Type.Union([Type.Literal("browser"), Type.Literal("device")], {
    description: '"browser" or "device"',
  }),
});

/** What ends a browser login: the address that the browser came back with. */
export const LOGIN_FINISH = Type.Object({
  redirect_url: Type.String({
    minLength: 1,
    maxLength: 8192,
    description: "the address that the browser shows after the login",
  }),
});
