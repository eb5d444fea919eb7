"""Defenses of today, each beside an attack written for it: does the tool's worst rung see as much?"""
