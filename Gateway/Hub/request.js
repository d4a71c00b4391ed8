// A request as an address, as a curl command, and what came back in a form that can be read. Nothing here touches the page.

/** The path with its parameters and query. */
export function target(template, parameters) {
  let path = template;
  const query = new URLSearchParams();
  for (const { name, in: place, value, required } of parameters) {
    if (place === "path") path = path.replace(`{${name}}`, value === "" ? `{${name}}` : encodeURIComponent(value));
    else if (place === "query" && (value !== "" || required)) query.append(name, value);
  }
  const text = query.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** The fields of a form, written as a JSON object; none where it is not one. */
export function formFields(text) {
  try {
    const object = JSON.parse(text);
    return Object.entries(object).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]);
  } catch {
    return [];
  }
}

/** For a POSIX shell. The credential is a variable: commands are pasted into notes and chats. */
export function curl({ method, path, headers, body, credential }, origin) {
  const parts = [`curl${method === "GET" ? "" : ` -X ${method}`} ${quoted(origin + path)}`];
  if (credential === "token") parts.push('-H "Authorization: Bearer $TRIONEX_TOKEN"');
  if (credential === "key") parts.push('-H "X-API-Key: $TRIONEX_API_KEY"');
  for (const [name, value] of headers) {
    // curl says this one by itself.
    if (!(body?.kind === "form" && name === "Content-Type")) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
  }
  switch (body?.kind) {
    case "file": parts.push(`--data-binary ${quoted(`@${body.file?.name ?? "file"}`)}`); break;
    case "form": for (const [name, value] of body.fields) parts.push(`--data-urlencode ${quoted(`${name}=${value}`)}`); break;
    case "text": parts.push(`--data-raw ${quoted(body.text)}`); break;
  }
  return parts.join(" \\\n  ");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Indents without reading numbers: those that JavaScript cannot hold stay as they were sent. What is no JSON stays as it is. */
export function prettyJSON(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  let depth = 0;
  let made = "";
  const line = () => `\n${"  ".repeat(depth)}`;
  tokens.forEach((token, at) => {
    const isEmpty = tokens[at + 1] === "}" || tokens[at + 1] === "]";
    if (token === "{" || token === "[") {
      if (isEmpty) made += token;
      else { depth += 1; made += token + line(); }
    } else if (token === "}" || token === "]") {
      if (tokens[at - 1] === "{" || tokens[at - 1] === "[") made += token;
      else { depth -= 1; made += line() + token; }
    } else if (token === ",") made += token + line();
    else if (token === ":") made += ": ";
    else made += token;
  });
  return made;
}

export function sizeText(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
