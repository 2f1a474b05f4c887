// Numbers as words. Log-probabilities and effects are in nats; null is a number that was not finite.
const LEVEL = 0.05; // nats: less is 0.0 when it is rounded
const signed = (value, digits = 1) => {
  if (value === null || value === undefined) return "n/a";
  const size = Math.abs(value).toFixed(digits);
  return Number(size) === 0 ? size : `${value < 0 ? "−" : "+"}${size}`;
};
const plainNumber = (value, digits = 1) => signed(value, digits).replace("+", "");
const direction = (nats) => {
  if (nats === null || nats === undefined) return "";
  return Math.abs(nats) < LEVEL ? "level" : nats > 0 ? "helped" : "hurt";
};
const percent = (share) => (share > 0 && share < 0.01 ? "< 1 %" : `${Math.round(100 * share)} %`);

// "made this text 8.2 nats (11.8 bits) likelier"
const madeLikelier = (nats, what) => {
  if (nats === null) return `changed ${what} by more than can be said in numbers`;
  if (direction(nats) === "level") return `left ${what} as likely as it was (${signed(nats)} nats)`;
  const size = Math.abs(nats);
  return `made ${what} ${size.toFixed(1)} nats (${(size / Math.LN2).toFixed(1)} bits) ${nats > 0 ? "likelier" : "less likely"}`;
};
