// Give the keyboard to the terminal as soon as it exists, and again whenever the page gets it.
function focusTerminal() {
  const input = document.querySelector(".xterm-helper-textarea");
  if (input) input.focus();
  return Boolean(input);
}
const waiting = setInterval(() => focusTerminal() && clearInterval(waiting), 50);
window.addEventListener("focus", focusTerminal);
