"""The composition root: the only place that reads settings and puts objects together."""
