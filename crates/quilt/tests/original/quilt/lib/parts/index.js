module.exports = ['warp', require('./weft')];
