// For every search; required by node before NNI, after loopback.cjs. It is about trials that cannot begin yet.
//
// 1. NNI 3.0 begins one anew without a pause, thousands of times a second. Where the answer needs no network nothing else
//    is done any more, not even what the end of another trial brings, and so it never can. Here it is a second later.
// 2. NNI 3.0 refuses a trial as many GPUs as the machine has: the only one, or both of two. Here it gets them.
'use strict'
const mend = require('./mending.cjs')

const PAUSE = 1000 // milliseconds
const LESS = 1e-6 // of a GPU; NNI takes what is over 1 to the nearest whole, and of one GPU this leaves nobody room

mend(/(scheduler|compat)$/, {
  V3asV1 (found) {
    const start = found.prototype.start
    found.prototype.start = function () {
      const create = this.v3.createTrial
      this.v3.createTrial = async function (...words) {
        let id = null
        try {
          id = await create.apply(this, words)
        } finally {
          if (id === null) await new Promise(resolve => setTimeout(resolve, PAUSE))
        }
        return id
      }
      return start.call(this)
    }
  },
  TaskScheduler (found) {
    const schedule = found.prototype.schedule
    found.prototype.schedule = async function (experiment, trial, number, restrictions) {
      if (number > 0 && this.sortGpus(restrictions || {}).length === 0) { // else NNI fails for a part of a GPU
        await this.update()
        return null
      }
      const room = number === this.gpus.length ? number - LESS : number
      return schedule.call(this, experiment, trial, room, restrictions)
    }
  }
})
