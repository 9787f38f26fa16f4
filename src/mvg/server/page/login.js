// Asks for the token of a server that needs one.

import { get, post } from "./api.js";
import { h, icon, replace } from "./dom.js";
import { state } from "./state.js";

export function login() {
  return new Promise((resolve) => {
    const message = h("p.error", { role: "alert", hidden: true });
    const token = h("input", {
      type: "password",
      name: "token",
      autocomplete: "current-password",
      required: true,
      placeholder: "Token",
    });
    const submit = async (event) => {
      event.preventDefault();
      try {
        await post("login", { token: token.value.trim() });
        state.info = await get("info");
        resolve();
      } catch (error) {
        message.hidden = false;
        message.textContent = error.message;
        token.select();
      }
    };
    const form = h(
      "form.plain",
      { onsubmit: submit },
      icon("logo"),
      h("h1", {}, "mvg workbench"),
      h("p", {}, "This server is protected. Enter the token that “mvg serve” was started with."),
      h("label", {}, h("span", {}, "Token"), token),
      message,
      h("button.primary", { type: "submit" }, "Open"),
    );
    replace(document.getElementById("screen"), form);
    token.focus();
  });
}
