"""The science of emotion in conversation: corpora, features, dialogue models, training, metrics.

Tensor shapes are written with one alphabet throughout the suite:

    B  windows or clips in a batch     S  samples of a waveform
    U  utterances                      T  frames or tokens of an utterance
    L  layers of an encoder            D  features
    C  emotion classes                 H  hidden units
    K  folds x seeds                   N  judged utterances
    M  real utterances of a batch, those of all its windows one after another

A mask is boolean and ``True`` marks what is real; padding is ``False``.
"""
