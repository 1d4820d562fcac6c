// NNI's servers listen on every interface of the machine, and ask nobody for a password.
// Required by node before NNI (NODE_OPTIONS=--require FILE), this has them listen on 127.0.0.1 alone.
'use strict'
const net = require('net')
const HOME = '127.0.0.1'
const EVERYWHERE = new Set([undefined, null, '', '0.0.0.0', '::'])
const listen = net.Server.prototype.listen

net.Server.prototype.listen = function (...words) {
  const [first, second] = words
  if (first !== null && typeof first === 'object') { // options
    if (first.port !== undefined && EVERYWHERE.has(first.host)) words[0] = { ...first, host: HOME }
  } else if (typeof first === 'number' || /^\d+$/.test(String(first))) { // port[, host][, backlog][, callback]
    if (typeof second === 'string' || second === undefined || second === null) {
      if (EVERYWHERE.has(second)) words.splice(1, 1, HOME)
    } else {
      words.splice(1, 0, HOME)
    }
  } else if (first === undefined || typeof first === 'function') { // any port
    words.splice(0, first === undefined ? 1 : 0, 0, HOME)
  }
  return listen.apply(this, words)
}
