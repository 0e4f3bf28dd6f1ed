"""Speed against other ways to make the same fits: python -m experiments.bench"""
