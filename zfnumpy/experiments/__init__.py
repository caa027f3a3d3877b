"""The experiments of the ZFNet and CAM papers, one module a study, each with numbers that say whether it came out."""
