// mend(FILES, PATCHES): each class of PATCHES, by its name, is given to its patch once, as the module that has it is
// loaded by a name that FILES fits.
'use strict'
const Module = require('module')

module.exports = function mend (files, patches) {
  const known = new Set()
  const load = Module._load
  Module._load = function (...words) {
    const found = load.apply(this, words)
    if (files.test(words[0]) && found) {
      for (const name of Object.keys(patches)) {
        const one = Object.prototype.hasOwnProperty.call(found, name) ? found[name] : undefined
        if (!one || known.has(one)) continue
        known.add(one)
        patches[name](one)
      }
    }
    return found
  }
}
