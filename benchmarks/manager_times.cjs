// Required by the node of NNI's manager for `manager_submit.py`: writes how long it takes for what its loop waits for.
'use strict'
const fs = require('fs')
const Module = require('module')

const FILE = process.env.B0NAS_TIMES
const TIMED = {
  NNIManager: ['requestTrialJobsStatus'],
  V3asV1: ['submitTrialJob'],
  NNIDataStore: ['storeExperimentProfile', 'storeTrialJobEvent', 'storeMetricData']
}
const known = new Set()
const lines = []

function timed (found, name) {
  const real = found.prototype[name]
  found.prototype[name] = async function (...words) {
    const began = performance.now()
    const answer = await real.apply(this, words)
    const count = typeof answer === 'number' ? answer : undefined
    lines.push(JSON.stringify({ name, began, took: performance.now() - began, count, event: words[0] }))
    return answer
  }
}

function write () {
  if (lines.length) fs.appendFileSync(FILE, lines.splice(0).join('\n') + '\n')
}

if (FILE) {
  setInterval(write, 1000).unref()
  const load = Module._load
  Module._load = function (...words) {
    const found = load.apply(this, words)
    if (/(nnimanager|compat|nniDataStore)$/.test(words[0]) && found) {
      for (const name of Object.keys(TIMED)) {
        const one = Object.prototype.hasOwnProperty.call(found, name) ? found[name] : undefined
        if (!one || known.has(one)) continue
        known.add(one)
        for (const method of TIMED[name]) timed(one, method)
      }
    }
    return found
  }
}
