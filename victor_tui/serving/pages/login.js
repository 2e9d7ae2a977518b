// The token is in the fragment, which a browser does not send. Exchange it for a cookie, and remove it from the address.
async function login() {
  const token = location.hash.slice(1);
  if (!token) return;
  history.replaceState(null, "", "/");
  const answer = await fetch("/login", { method: "POST", headers: { Authorization: "Bearer " + token } });
  if (answer.ok) location.reload();
  else document.getElementById("message").textContent = await answer.text();
}
window.addEventListener("hashchange", login);
login();
