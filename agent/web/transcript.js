// Who said what. The agent's words are shown as soon as they are thought, and darken character by character as they are heard.

import { t } from "./words.js";

const SHOWN_UNSAID = 60; // characters of what was cut off; enough to see where it was going

const element = (name, className, text = "") => Object.assign(document.createElement(name), { className, textContent: text });

class Turn {
  constructor(list, who) {
    this.item = element("li", `turn ${who}`);
    this.item.append(element("span", "who", t(who)));
    this.item.firstChild.dataset.t = who;
    this.words = element("p", "words");
    this.item.append(this.words);
    list.append(this.item);
  }
}

class UserTurn extends Turn {
  #settled = "";

  constructor(list) {
    super(list, "you");
  }

  /** A recognised piece; an interim one is replaced by the next. */
  hear(text, final) {
    this.words.textContent = this.#settled + text;
    if (final) this.#settled = this.words.textContent;
    this.item.classList.toggle("interim", !final);
  }
}

class AgentTurn extends Turn {
  constructor(list) {
    super(list, "agent");
    this.item.setAttribute("aria-live", "off"); // it is spoken aloud; a screen reader on top of it would only disturb
    this.thought = "";
    this.heard = 0;
    this.said = element("span", "said");
    this.ahead = element("span", "ahead");
    this.words.append(this.said, this.ahead);
  }

  think(text) {
    this.thought += text;
    this.#show();
  }

  /** A piece has been spoken. It is looked for a little ahead only: the same character may come again later in the answer. */
  speak(piece) {
    const word = piece.trim();
    if (!word) return;
    const at = this.thought.slice(this.heard, this.heard + 80).toLowerCase().indexOf(word.toLowerCase());
    if (at >= 0) {
      this.heard += at + word.length;
    } else {
      // A greeting is spoken without having been thought aloud first.
      this.thought = this.thought.slice(0, this.heard) + piece + this.thought.slice(this.heard);
      this.heard += piece.length;
    }
    this.#show();
  }

  /** Everything was heard; closing punctuation and brackets are not spoken, so they are still ahead. */
  finish() {
    this.heard = this.thought.length;
    this.#show();
  }

  /** What is still ahead will never be heard. Whether it was cut off in the middle. */
  interrupt() {
    if (!this.thought.slice(this.heard).trim()) return false;
    this.item.classList.add("interrupted");
    const unsaid = element("s", "unsaid");
    this.ahead.replaceWith(unsaid);
    this.ahead = unsaid;
    const mark = element("span", "mark", t("notSpoken"));
    mark.dataset.t = "notSpoken";
    this.words.append(mark);
    this.#show();
    return this.heard > 0;
  }

  /** The agent's own account of what was heard, which may differ by the character that was on its way. */
  settle(heard) {
    const letters = [...heard.replace(/\s/g, "")];
    let end = 0;
    while (letters.length && end < this.thought.length) {
      const letter = this.thought[end++];
      if (letter === letters[0]) letters.shift();
      else if (letter.trim()) return; // not this answer
    }
    this.heard = end;
    this.#show();
  }

  #show() {
    // Closing punctuation belongs to the words before it.
    const closing = this.thought.slice(this.heard).match(/^[\s，。！？；：、,.!?;:"'”’」』）)…—~～]*/)[0].length;
    const end = this.heard + (this.heard ? closing : 0);
    const rest = this.thought.slice(end);
    const cut = this.item.classList.contains("interrupted") && rest.length > 1.2 * SHOWN_UNSAID;
    this.said.textContent = this.thought.slice(0, end);
    this.ahead.textContent = cut ? `${rest.slice(0, SHOWN_UNSAID)}……` : rest;
  }
}

/** The list of turns, and which of them are still open. */
export class Transcript {
  #user = null;
  #agent = null;
  #cut = null;
  #followed = 0;

  constructor(list, scroll, empty) {
    Object.assign(this, { list, scroll, empty });
  }

  hear(text, final) {
    this.#agent = null;
    this.#user ??= this.#add(new UserTurn(this.list));
    this.#user.hear(text, final);
    this.#follow();
  }

  type(text) {
    this.#user = null;
    this.hear(text, true);
    this.#user = null;
  }

  /** The agent begins an answer. */
  answer() {
    this.#user = null;
    this.#agent = null;
  }

  think(text) {
    this.#current().think(text);
    this.#follow();
  }

  speak(piece) {
    this.#current().speak(piece);
    this.#follow();
  }

  /** Whether an answer was cut off in the middle. */
  interrupt() {
    const inTheMiddle = this.#agent?.interrupt() ?? false;
    this.#cut = this.#agent ?? this.#cut;
    this.#agent = this.#user = null;
    return inTheMiddle;
  }

  /** An answer is over: this much of it was heard. */
  settle(heard, interrupted) {
    if (!interrupted) this.#agent?.finish();
    else if (heard) this.#cut?.settle(heard);
  }

  #current() {
    this.#user = null;
    return (this.#agent ??= this.#add(new AgentTurn(this.list)));
  }

  #add(turn) {
    this.empty.hidden = true;
    return turn;
  }

  /** Keep what is being heard in view, unless somebody scrolled away to read. */
  #follow() {
    const { scroll } = this;
    const strayed = Math.abs(scroll.scrollTop - this.#followed) > 160;
    if (strayed && scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight > 40) return;
    const edge = this.#agent?.ahead.getClientRects()[0]?.bottom ?? Infinity;
    const target = scroll.scrollTop + edge - scroll.getBoundingClientRect().top - scroll.clientHeight * 0.6;
    this.#followed = Math.max(0, Math.min(target, scroll.scrollHeight - scroll.clientHeight));
    scroll.scrollTop = this.#followed;
  }
}
