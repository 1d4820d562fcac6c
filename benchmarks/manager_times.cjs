// Required by the node of NNI's manager for `manager_submit.py`: writes how long it takes for what its loop waits for.
'use strict'
const fs = require('fs')
const mend = require('../nas/search/mending.cjs')

const FILE = process.env.B0NAS_TIMES
const TIMED = {
  NNIManager: ['requestTrialJobsStatus'],
  V3asV1: ['submitTrialJob'],
  NNIDataStore: ['storeExperimentProfile', 'storeTrialJobEvent', 'storeMetricData']
}
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
  const patches = Object.entries(TIMED).map(([name, methods]) => [name, found => methods.forEach(one => timed(found, one))])
  mend(/(nnimanager|compat|nniDataStore)$/, Object.fromEntries(patches))
}
