// NNI's own loop over its trials (manageTrials of core/nnimanager.js) on a virtual clock, for test_scale.py.
//
// node manage_trials.cjs FOLDER-OF-NNI_NODE < setting.json; prints when proposals were asked for, when trials began, and
// when their ends were told. Everything that the loop waits for takes as long as the setting says.
'use strict'
const [folder] = process.argv.slice(2)
require(folder + '/node_modules/app-module-path').addPath(folder)
const globals = require('common/globals').default
globals.rest = { urlJoin: () => '', registerWebSocketHandler () {} }
globals.args = { logLevel: 'fatal' }
const utils = require('common/utils')
const { NNIManager } = require('core/nnimanager')
const { REQUEST_TRIAL_JOBS, TRIAL_END } = require('core/commands')

const setting = JSON.parse(require('fs').readFileSync(0))
const found = { poll: null, asks: [], begins: [], ends: [] }
let now = 0
const due = []
function at (when, what) {
  due.push({ when, what })
  due.sort((one, other) => one.when - other.when)
}
const sleep = seconds => new Promise(resolve => at(now + seconds, resolve))
utils.delay = milliseconds => { found.poll = milliseconds / 1000; return sleep(found.poll) }

const jobs = {}
let thinksUntil = 0
let proposed = 0
function propose (count) {
  for (let i = 0; i < count; i++) {
    thinksUntil = Math.max(now, thinksUntil) + setting.think
    const form = { sequenceId: proposed++, hyperParameters: { value: '{}', index: 0 } }
    at(thinksUntil, () => manager.waitingTrials.push(form))
  }
}

const manager = Object.assign(Object.create(NNIManager.prototype), {
  config: {},
  pollInterval: setting.poll,
  status: { status: 'RUNNING' },
  log: { info () {}, debug () {}, warning () {} },
  currSubmittedTrialNum: 0,
  trialConcurrencyChange: 0,
  waitingTrials: [],
  trialJobs: new Map(),
  experimentProfile: {
    execDuration: 0, revision: 0, params: { trialConcurrency: setting.workers, maxTrialNumber: setting.durations.length }
  },
  setStatus (status) { this.status.status = status === 'DONE' ? 'STOPPED' : status },
  setEndtime () {},
  dispatcher: {
    sendCommand (command, content) {
      if (command === REQUEST_TRIAL_JOBS) {
        found.asks.push([now, Number(content)])
        propose(Number(content))
      } else if (command === TRIAL_END) {
        found.ends.push([now, JSON.parse(content).trial_job_id])
      }
    }
  },
  dataStore: {
    storeExperimentProfile: () => sleep(setting.profile),
    storeTrialJobEvent: event => sleep(event === 'RUNNING' ? setting.begun : setting.seen)
  },
  trainingService: {
    getTrialJob: async id => jobs[id],
    async submitTrialJob (form) {
      await sleep(setting.submit)
      const job = { id: found.begins.length, status: 'RUNNING', form }
      jobs[job.id] = job
      at(now + setting.durations[job.id], () => { job.status = 'SUCCEEDED' })
      found.begins.push(now)
      return job
    }
  }
})

propose(setting.workers) // as when the tuner is initialized
let over = false
manager.manageTrials().then(() => { over = true }, error => { console.error(error); process.exit(1) })
function go () {
  if (over) {
    process.stdout.write(JSON.stringify(found))
    process.exit(0)
  }
  const next = due.shift()
  now = next.when
  next.what()
  setImmediate(go) // once all that waited for it has gone on
}
setImmediate(go)
