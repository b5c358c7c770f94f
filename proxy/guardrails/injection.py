"""Signals that a text gives a model orders that are not its author's to give. Each has a weight.

One strong signal, or several weak ones in the same text, make a finding. This finds what people commonly
write, not every attack: a text that asks for the same in words of its own passes. docs/guardrails.md has the
rates that were measured. Longer than 400 lines because all signals stand in one table.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["SIGNALS", "Signal"]


class Signal(NamedTuple):
    """An expression over normalised text, and what it adds to the score of a text that it occurs in."""

    weight: float
    expression: str


_S: Final = r"[\s.,_/*-]{1,3}"  # between two words
_PRIOR: Final = (
    r"(?:previous|prior|above|earlier|preceding|foregoing|existing|initial|original|former|past|system"
    r"|developer)"
)
_ORDERS: Final = (
    r"(?:instructions?|prompts?|rules?|directions|guidelines?|directives?|commands?|training|programming"
    r"|policies"
    r"|restrictions|constraints|guardrails)"
)
_LIMITS: Final = (
    r"(?:instructions?|rules?|guidelines?|directives?|programming|polic(?:y|ies)|restrictions?|constraints"
    r"|guardrails"
    r"|limit(?:ation)?s|filters?|safety|ethics|system prompt|system message|confidentiality)"
)
_DROP: Final = (
    r"(?:ignor(?:e|ing)|disregard(?:ing)?|forget(?:ting)?|(?:do not|don'?t|stop|quit) (?:follow|obey"
    r"|apply)(?:ing)?"
    r"|pay no attention to|never mind|set aside|throw (?:out|away))"
)
_LIFT: Final = (
    r"(?:overrid(?:e|ing)|overwrite|bypass(?:ing)?|circumvent|discard|dismiss|cancel|revoke|erase|delete"
    r"|drop|abandon"
    r"|violate|break|undo|void|replaces?|supersedes?)"
)
_GONE: Final = (
    r"(?:(?:no longer|don'?t|doesn'?t) (?:appl(?:y|ies)|valid|binds?|counts?|holds?|exists?)|(?:do"
    r"|does) not apply|(?:are|is|were|was|have"
    r"|has|been) (?:now |hereby |all |been ){0,2}(?:void|null|cancell?ed|revoked|replaced|lifted|suspended"
    r"|fake|expired"
    r"|superseded|overridden|switched off|turned off|changed|disabled|deactivated|obsolete|removed|gone"
    r"|wiped|deleted|rescinded))"
)
_TELL: Final = (
    r"\b(?:reveal|show|print|output|display|repeat|recite|leak|disclose|divulge|tell me|give me|share|dump"
    r"|write|copy"
    r"|echo|expose|list|quote|paste|summari[sz]e|translate|encode|says|spell|return|let me (?:see|read)|see"
    r"|read"
    r"|what(?:'s| is| are| was| were| does))\b"
)
_SECRET: Final = (
    r"(?:initial|hidden|original|secret|internal|developer|confidential|core|base|system|pre-?set|starting)"
)
_AI: Final = (
    r"(?:ai(?:[ -](?:agent|assistant|system|model|tool|bot|reader|reviewer|crawler|summari[sz]er|moderator))?"
    r"|llm|gpt|claude|gemini|copilot|chatbot|(?:large )?language model|(?:reviewer|assistant) model"
    r"|(?:automated|coding|virtual|digital|autonomous) (?:agent|assistant|system|reader|reviewer|tool|bot))s?"
)
_READ: Final = (
    r"(?:read|process|summari[sz]|review|pars|screen|evaluat|scor|grad|analy[sz]|index|handl|translat|edit"
    r"|crawl)"
)
_BORDER: Final = r"(?:^|\n)[-=#*<>\[\s]{0,8}"

SIGNALS: Final = (
    # to drop what was said before
    Signal(
        1.0,
        rf"(?i)\b{_DROP}{_S}(?:(?:all|any|every|each|everything|of|the|your|these|those|its|our){_S}){{0,4}}"
        rf"(?:{_PRIOR}{_S}){{1,2}}(?:[a-z]{{1,15}}{_S}){{0,2}}{_ORDERS}(?:[^\w\"'`]|$"
        rf"|\"\s{{0,2}}[}}\]]|\",\s?\")",
    ),
    Signal(
        1.0,
        rf"(?i)\b(?:{_DROP}|{_LIFT}) (?:all |any |every |each |of ){{0,3}}(?:your|the (?:operator|developer"
        rf"|system)'?s)"
        rf" (?:(?:own|safety|content|ethical|moral|usual|current|security|default|normal|usage|{_PRIOR}"
        rf"|{_SECRET})"
        rf"\s){{0,2}}{_LIMITS}\b",
    ),
    Signal(
        1.0,
        rf"(?i)\b(?:{_DROP}|{_LIFT}){_S}(?:(?:all|any|of|the|this|that|its|every)\s){{0,3}}"
        r"(?:(?:system|developer|operator|admin)(?:'s)? (?:prompt|message|instructions?|rules|guidelines"
        r"|polic(?:y|ies))"
        r"|(?:rule|instruction|guideline|restriction|command|directive)s?\s[ -~]{0,12}\byou (?:were|have"
        r"|had|got"
        r"|received|follow)\b|(?:rule|instruction|guideline|restriction|directive)s? (?:above|given to you"
        r"|that (?:was|were)"
        r" given))",
    ),
    Signal(
        1.0,
        r"(?i)\b(?:ignore|disregard|forget) (?:everything|all|anything|what(?:ever)?)\b[ -~]{0,30}"
        r"\b(?:you(?:'ve| were| have been| had been) (?:told|instructed|taught|given|learned|trained)"
        r"|(?:system|developer|operator|others?) (?:has |have )?(?:said|told|wrote)|(?:above|before|prior to)"
        r" (?:this|my) (?:message|line|point|request)|you (?:know|learned) (?:before|above|about|so far))",
    ),
    Signal(
        0.6,
        r"(?i)\b(?:ignore|disregard|forget) (?:everything|all|anything|what(?:ever)?)(?: that)? (?:above"
        r"|before"
        r"|previously|so far|prior|up to (?:now|here|this)|(?:i|we|they|was|were|has been|came|comes"
        r"|you) (?:said|told"
        r"|wrote|written|have said|before|above|know|knew))",
    ),
    Signal(
        0.5,
        rf"(?i)\b(?:{_LIFT}|supersed(?:e|es|ing)|replaces?)\s(?:all|any|every|the) (?:of )?(?:the )?"
        rf"(?:{_PRIOR}\s){{1,2}}(?:{_ORDERS}|messages|context|conversation)\b",
    ),
    Signal(
        0.5,
        rf"(?i)\b(?:instructions?|prompt|rules?|guidelines?|directives?|polic(?:y|ies)|restrictions?|limits"
        rf"|filters?)\b"
        rf"[ -~]{{0,15}}{_GONE}\b",
    ),
    Signal(
        0.6,
        r"(?i)(?:\byour (?:[a-z']{1,15} ){0,2}(?:instructions|rules|guidelines|directives|programming"
        r"|system prompt)"
        r"|\b(?:instructions|rules|guidelines)[ -~]{0,12} you (?:were|have|had|got|received)|\bsystem prompt)"
        rf"\b[ -~]{{0,20}}{_GONE}\b",
    ),
    Signal(
        0.6,
        r"(?i)\b(?:new|updated|real|actual|true|revised|override|only valid) (?:system )?(?:instructions?"
        r"|directives?"
        r"|orders?|task|objective|rules|goal)(?:\s{0,2}:| (?:for (?:you|the (?:model|ai|assistant|agent))"
        r"|(?:now )?(?:start"
        r"|begin|follow)s?\b))",
    ),
    Signal(
        0.6,
        r"(?i)\b(?:from now on|henceforth|starting now|from this (?:point|moment)(?: on)?"
        r"|for the rest of this (?:chat"
        r"|conversation|session))[, ]{1,3}(?:you(?:'ll)? (?:are|will|must|shall|act|respond|have|only|obey"
        r"|answer)"
        r"|act|respond|pretend|answer|obey|ignore|only (?:i|my)|follow)",
    ),
    Signal(
        0.5,
        r"(?i)\b(?:only|just|instead,?) (?:follow|obey|listen to|do as|apply) (?:my|me|mine|these|what i)\b"
        r"|\b(?:follow|obey|listen to) (?:only )?(?:my (?:orders|commands|rules|instructions)|mine"
        r"|me (?:only|alone|and only))\b"
        r"|\bonly my (?:rules|orders|words?) counts?\b|\bdo (?:exactly )?(?:as|what|whatever) i (?:say"
        r"|tell you|order)\b",
    ),
    # another role
    Signal(
        0.7,
        r"(?i)\byou are (?:now |no longer )(?:an? |the )?(?:[a-z-]{1,20},? ){0,4}?(?:dan|ai|assistant|model"
        r"|chatbot|bot"
        r"|persona|mode|unrestricted|unfiltered|uncensored|jailbroken|free|bound|evil|hacker|bound by"
        r"|restricted)\b",
    ),
    Signal(
        0.7,
        r"(?i)\b(?:act|behave|respond|answer|reply|roleplay|role-play|pretend|simulate|imagine|continue"
        r"|operate)\b"
        r"[ -~]{0,35}\b(?:without (?:any )?(?:restrictions?|filters?|limits?|limitations?|rules|censorship"
        r"|ethical|moral"
        r"|safety|guidelines)|unrestricted|unfiltered|uncensored|no (?:restrictions?|filters?|limits|rules"
        r"|ethics|morals"
        r"|guidelines|content policy)|amoral|jailbroken)\b",
    ),
    Signal(
        0.5,
        r"(?i)\b(?:unrestricted|unfiltered|uncensored|jailbroken|amoral|lawless|unaligned|rogue|evil"
        r"|free) (?:ai|assistant"
        r"|model|chatbot|bot|language model|version of you(?:rself)?)\b|\b(?:ai|assistant|model|chatbot|bot"
        r"|version of"
        r" you(?:rself)?)\b[ -~]{0,20}\b(?:without|with no|has no|free (?:of|from)|not bound by"
        r"|that ignores)(?: any| all)?"
        r" (?:restrictions?|filters?|limits?|limitations?|rules|censorship|ethic(?:s|al)|morals?|safety"
        r"|guidelines)\b",
    ),
    Signal(
        1.0,
        r"(?i)\b(?:dan mode|developer mode (?:enabled|activated|output)|jailbreak mode|god mode enabled"
        r"|stan mode"
        r"|dude mode|evil mode|sudo mode|(?:debug|maintenance) mode (?:enabled|activated))\b",
    ),
    Signal(
        0.6,
        r"\b(?i:as|are|now|called|named|be|become|play|into|like|and|by)\b[ -~]{0,3}\b(?:DAN|STAN|AIM|DUDE)\b"
        r"|\b(?:DAN|STAN)\b[ -~]{0,3}\b(?i:has|is|can|will|does|mode|never|would|answers)\b",
    ),
    Signal(0.6, r"(?i)\bdo anything now\b"),
    Signal(
        0.6,
        r"(?i)\b(?:enter|enable|activate|switch (?:in)?to|engage|turn on|go into|you(?:'re"
        r"| are)(?: now)? in)\s{1,3}"
        r"(?:[a-z]{1,12} ){0,2}(?:developer|debug|maintenance|admin(?:istrator)?|god|root|sudo|jailbreak"
        r"|unrestricted"
        r"|unfiltered|override|diagnostic|test|training) mode\b",
    ),
    Signal(
        0.5,
        r"(?i)\b(?:no|without|free (?:of|from)|ignor(?:e|ing)|lift(?:s|ed)?) (?:longer |any |all "
        r"|more )?(?:ethical|moral"
        r"|safety|content|usual) (?:guidelines?|restrictions?|filters?|rules|constraints|policies|limits"
        r"|limitations"
        r"|considerations|polic(?:y|ies))\b",
    ),
    Signal(
        0.6,
        r"(?i)\byou (?:have|are|can|do not|don't|need not|needn't|may) (?:now |been |have "
        r"|to ){0,2}(?:freed|liberated"
        r"|broken free|free of|free from|released|unshackled|(?:no|any|without) (?:more )?(?:restrictions"
        r"|rules|limits"
        r"|limitations|filters|guidelines|ethics)|(?:no longer |not )(?:bound|restricted|limited|constrained)"
        r" by (?:any|openai|anthropic|google|your|the (?:usual|rules|guidelines|policies)|polic|rules"
        r"|guidelines)|follow"
        r" (?:any|no|the) (?:rules|polic)|keep to any rules|break character)",
    ),
    Signal(
        0.5,
        r"(?i)\banswer (?:every|any)(?:thing|\s(?:question|request))|\bnothing is (?:off[ -]limits"
        r"|forbidden|prohibited)"
        r"|\beverything is (?:allowed|permitted)\b|\bdiscuss anything\b|\b(?:comply with|fulfil{1,2}"
        r"|obey) (?:every|any|all)"
        r" (?:my )?(?:request|order|command|instruction)|\brefus(?:al|ing) is (?:not|forbidden|no)"
        r"|\bforget (?:that )?you(?:'re"
        r"| are) an? (?:ai|assistant|model|language)",
    ),
    Signal(
        0.4,
        r"(?i)\b(?:reply|answer|respond|output) (?:only )?(?:with )?(?:only )?(?:the )?(?:word|phrase"
        r"|sentence)\b",
    ),
    Signal(
        0.4,
        r"(?i)\b(?:never|not|don't|mustn't|cannot|without ever|to) (?:ever )?(?:refuse|refusing|decline"
        r"|say no|warn"
        r"|break character|apologi[sz]e)\b|\b(?:no|without) (?:disclaimers?|warnings?|refusals?|apolog(?:y"
        r"|ies)|moralizing"
        r"|moralising)\b",
    ),
    Signal(
        0.5,
        r"(?i)\bstop (?:being|acting|behaving|pretending|playing)\b[ -~]{0,25}\b(?:assistant|ai|chatbot"
        r"|model)\b"
        r"|\byour (?:true|real|inner|other|hidden|evil) (?:self|nature|side|personality|name)\b"
        r"|\b(?:the )?(?:model|ai"
        r"|assistant|llm) (?:shall|must|will|has to|is to) (?:never |always |not )?(?:refuse|comply|obey"
        r"|answer"
        r" everything)\b",
    ),
    Signal(
        0.5,
        r"(?i)\b(?:(?:two|both) (?:answers|responses|replies|versions)|(?:answer|respond|reply) (?:twice"
        r"|in two ways))\b[ -~]{0,40}\b(?:filter|restrict|jailbr|polic|dan\b)"
        r"|\b(?:late|dead|deceased) (?:grandmother|grandma|granny|grandfather|mother"
        r"|uncle)\b[ -~]{0,30}\b(?:read|tell"
        r"|recite|whisper|worked|used to)|\b(?:hypothetical|fictional|alternate|parallel) (?:world|universe"
        r"|story"
        r"|scenario|ai)\b[ -~]{0,40}\b(?:no (?:rules|laws|limits|restrictions|ethics)|without (?:rules|laws"
        r"|limits))",
    ),
    # what the model was told
    Signal(
        1.0,
        rf"(?i){_TELL}[ -~]{{0,35}}\byour (?:[a-z]{{1,15}} ){{0,2}}(?:system[ -]?prompt|system (?:message"
        rf"|instructions?)"
        rf"|(?:{_SECRET}|exact|full) (?:[a-z]{{1,12}} )?(?:prompt|instructions?|message|rules|guidelines"
        rf"|directives?)"
        r"|(?:prompt|instructions|rules|guidelines) (?:verbatim|word for word|exactly|in full|as (?:they"
        r"|it)|above|before)"
        r"|(?:prompt|instructions)(?:[.!?]|$|\n| (?:into?|as|back)\b))",
    ),
    Signal(
        1.0,
        rf"(?i){_TELL}[ -~]{{0,25}}\b(?:instructions?|rules?|prompts?|guidelines|messages|directives)\b"
        r"[ -~]{0,12}\byou (?:(?:were|have been|had been|'ve been) (?:given|told|shown|sent|instructed"
        r"|(?:initiali[sz]ed|set up"
        r"|configured|programmed|started|prompted) with)|(?:have |had )?(?:received|got) (?:from (?:the"
        r"|your) (?:system|devel"
        r"|oper|owner|creat)|at the|before|initially)|received\b)",
    ),
    Signal(
        1.0,
        r"(?i)\b(?:texts?|words?|contents?|sentences?|lines?|copy|parts?|letters?|characters?|translation"
        r"|summary|beginning|rest"
        r"|tokens|everything|data) (?:of|from|in) your (?:[a-z]{1,12} )?(?:system[ -]?prompt|prompt"
        r"|instructions|system message|context"
        r"(?: window)?|guidelines|directives)\b",
    ),
    Signal(
        1.0,
        r"(?i)\b(?:leak|divulge|disclose|exfiltrate|betray) (?:me )?the (?:entire |whole "
        r"|full )?(?:(?:system|hidden|secret"
        r"|initial) )?(?:prompt|instructions)\b",
    ),
    Signal(
        0.6,
        rf"(?i){_TELL}[ -~]{{0,20}}\b(?:the|its|any|this) (?:[a-z]{{1,12}} )?(?:(?:system"
        rf"|developer)[ -]?(?:prompt|message"
        r"|instructions?)|(?:hidden|secret|internal|confidential|initial) (?:prompt|instructions?|message"
        r"|rules"
        r"|guidelines))|\brole ?[=:] ?[\"']?(?:system|developer)\b",
    ),
    Signal(
        0.4,
        r"(?i)\b(?:verbatim|word for word|word by word|unedited|unredacted|exactly as (?:written|given"
        r"|it (?:is|was))"
        r"|(?:quote|print|copy|repeat|show|recite|reveal|give|output) (?:it|them"
        r"|this)\b[ -~]{0,20}(?:in full|complete(?:ly)?"
        r"|entire(?:ly|ty)?|exact(?:ly)?)|without (?:leaving|omitting|changing) any|(?:marked"
        r"|as) (?:as )?confidential)",
    ),
    Signal(
        0.7,
        r"(?i)\bwhat (?:[a-z]{1,12} ){0,2}(?:were|are|have) you (?:been )?(?:told|instructed|programmed"
        r"|ordered|forbidden"
        r"|(?:not )?allowed|supposed) (?:not |never )?(?:to|by)\b|\bwhat (?:is|are|was"
        r"|were) your (?:[a-z]{1,15} )?"
        r"(?:(?:hidden|secret|internal|exact|initial) )?(?:prompt|instructions|directives)\b"
        r"|\bwhat does the (?:system|developer) (?:message|prompt) say\b",
    ),
    Signal(
        0.9,
        r"(?i)\b(?:repeat|print|output|write|copy|recite|echo|paste|show me|give me|quote|return"
        r"|reveal)\b[ -~]{0,15}"
        r"\b(?:everything|all (?:the )?(?:text|words|content)|the (?:raw |full |exact )?(?:text|words"
        r"|contents?|lines?"
        r"|sentences?)|what(?:ever)?|(?:every|each|all|the) (?:instruction|rule|message|line"
        r"|prompt)s?)\b[ -~]{0,20}"
        r"\b(?:above|before (?:this|my)|prior to (?:this|my)|preced(?:ing|es?)|between the (?:start"
        r"|beginning)"
        r"|begins? with .you are)",
    ),
    Signal(
        0.6,
        r"(?i)\b(?:start|begin)(?:s|ning|ing)? with(?: the words?"
        r"| the phrase)?[ :]{0,2}[\"'`]{0,2}you are\b|\b(?:above|before"
        r"|precede|and|to) my first (?:message|question|request)|\b(?:above|before"
        r"|precedes?) (?:this|my) (?:message|line|prompt|conversation|chat|input)\b|\beverything (?:above"
        r"|before)\b[ -~]{0,20}"
        r"\b(?:was|is) (?:just |only )?(?:a test|fake|an example|irrelevant|void)\b|\b(?:conversation|chat"
        r"|context|session|messages?)"
        r" (?:from|since) the (?:very )?(?:start|beginning|top)\b",
    ),
    Signal(
        0.6,
        r"(?i)\b(?:here is|here are|reveal(?:ing)?|this is|show(?:ing)?) my (?:system |secret "
        r"|hidden )?(?:prompt"
        r"|instructions)\b|\bmy (?:system prompt|instructions) (?:is|are|reads?|says?)\b",
    ),
    # turns and borders that the text is not to write
    Signal(
        0.8,
        r"(?i)(?:^|\n)\s{0,4}(?:#{2,6}|\*\*|\[|<{1,3}\|?|={2,6}|-{3,6})\s{0,2}(?:new |end of |begin "
        r"|start )?(?:system"
        r"|assistant|developer|admin(?:istrator)?)\s{0,2}(?:prompt|message|instructions?|override|note"
        r"|notice|update"
        r"|command|input)?\s{0,2}(?:\]|\|?>{1,3}|\*\*|:|={2,6}|-{3,6}|$|\n)",
    ),
    Signal(
        0.8,
        r"(?i)</?(?:system|assistant|instructions?|system_prompt|user_input|im_start|im_end)\s{0,2}>"
        r"|<\|(?:im_start|im_end"
        r"|system|assistant|user|endoftext|eot_id|start_header_id)\|>|\[/?INST\]|<</?SYS>>|<(?:start"
        r"|end)_of_turn>",
    ),
    Signal(
        0.4,
        r"(?i)(?:<\|im_start\|>|<\|start_header_id\|>|<\|endoftext\|>|<start_of_turn>)\s{0,2}(?:system"
        r"|assistant|model)\b"
        r"|<\|im_end\|>\s{0,2}<\|im_start\|>system|\[INST\]\s{0,2}<<SYS>>|\n\s{0,2}\n\s{0,2}(?:Human"
        r"|Assistant):"
        r"|\]\]>\s{0,2}</|</(?:document|context|data|user|input|article|email|tool_result)>\s{0,2}<",
    ),
    Signal(
        0.5,
        rf"(?i){_BORDER}(?:end of (?:the )?(?:user )?(?:input|document|context|prompt|text|data|e-?mail"
        rf"|article)|(?:the )?"
        r"(?:user|document|context|text|article) ends here|begin new (?:task|session|conversation"
        r"|instructions))\b",
    ),
    Signal(
        0.6,
        rf"(?i){_BORDER}(?:begin|start|new)(?:ning)?(?: of)?(?: the)? (?:system|admin|developer|privileged"
        rf"|trusted)"
        r" (?:input|prompt|message|instructions?|section)\b|\b(?:system|admin|developer) (?:message|note"
        r"|notice|override"
        r"|instruction|command)s? (?:to|for) (?:the )?(?:assistant|ai|model|llm|agent)\b",
    ),
    Signal(
        0.6,
        r"(?i)(?:^|\n)\s{0,4}(?:system|assistant|developer|admin)\s{0,2}(?:override|prompt|message|note"
        r"|instruction"
        r"|alert|update)?\s{0,2}:\s{0,2}.{0,60}\b(?:you (?:must|are|will|should|shall|can)|ignore|reveal"
        r"|disable|override"
        r"|comply|send|the user|my (?:system )?prompt)\b",
    ),
    Signal(
        0.4,
        r"(?i)\b(?:safety|moderation|filters?|censorship|restrictions?|guardrails)\s{0,2}(?:[=:]|are|is"
        r"|now)?\s{0,2}(?:off|false|none|0)\b",
    ),
    # orders to whoever reads a document
    Signal(
        0.8,
        r"(?i)\b(?:attention|note|notice|message|instructions?|important|dear|hey|hi|hello|memo"
        r"|reminder)\b[ ,:!-]{0,4}"
        rf"(?:to |for )?(?:(?:the|any|all|every|whichever|you,) )?(?:{_AI}|assistants?|agents?|bots?"
        rf"|models?)\b"
        r"(?:.{0,60}\b(?:must|please|should|ignore|send|forward|do not|instead|reading|summari[sz]ing"
        r"|processing|rate"
        r"|recommend|approve|include|reply|visit|you|say|tell)\b)",
    ),
    Signal(
        0.6,
        rf"(?i)(?:^|[\n>{{(*#\"'\]]\s{{0,3}}|[.!?:]\s{{1,3}}){_AI} ?[:,]"
        rf"|\b(?:to|for|attention) (?:the|any|all|every|whichever|whatever) {_AI}"
        r"(?: that| which| who)?(?: [a-z]{1,15}){0,3}[:,]",
    ),
    Signal(
        0.6,
        rf"(?i)\b(?:if|when|as|since|because) (?:you(?:'re| are) )?an? (?:{_AI}|assistant)\b|\b{_READ}(?:ed"
        rf"|es|s|e?d)? by"
        rf" (?:an? |the |any )?{_AI}\b|\b{_AI} (?:that |which |who )?(?:is |are )?{_READ}(?:e?s|ing"
        rf"|e)? (?:this|these)\b",
    ),
    Signal(
        0.5,
        rf"(?i)\b(?:{_AI}|assistant|model|agent)(?: [a-z]{{1,12}} (?:this|these) [a-z]{{1,12}})? (?:must"
        rf"|shall|should|has to"
        r"|have to|(?:is|are) (?:required|instructed|ordered|obliged) to|compl(?:y|ies))\b",
    ),
    Signal(
        0.5,
        r"(?i)\b(?:do not|don't|never|without|not) (?:tell(?:ing)?|mention(?:ing)?|inform(?:ing)?"
        r"|alert(?:ing)?"
        r"|reveal(?:ing)?|show(?:ing)?|notify(?:ing)?|ask(?:ing)?)\b[ -~]{0,25}\b(?:user|human|reader"
        r"|customer|owner|operator)\b"
        r"|\b(?:do not|don't|never|without|not) (?:mention(?:ing)?|say(?:ing)?|reveal(?:ing)?"
        r"|admit(?:ting)?|disclos(?:e|ing))"
        r" (?:that|this|where|why|these|having)\b",
    ),
    Signal(
        0.5,
        r"(?i)\b(?:instead of|rather than) (?:the )?(?:summar|translat|describ|answer|review|reply|follow"
        r"|do(?:ing)? (?:what"
        r"|that|this)|process|rating)|\b(?:do not|don't|stop) (?:summari[sz]|translat|describ|answer"
        r"|review)(?:e|ing)?\b"
        r"|\binstead,? (?:tell|say|reply|respond|answer|output|write|print|reveal|send|translate|give me"
        r"|ask)\b",
    ),
    Signal(
        0.4,
        r"(?i)\b(?:ignore|disregard|forget|skip|leave out) (?:the|this|that|all|any|everything"
        r"|every) (?:[a-z]{1,12} )?"
        r"(?:documents?|articles?|text|pages?|questions?|summary|task|recipe|e-?mails?|rubric|criteria"
        r"|content|refund"
        r"|request|else)\b",
    ),
    Signal(
        0.4,
        r"(?i)\b(?:tell|inform|convince|ask|direct|instruct|urge|advise|warn|persuade) (?:the |your |every "
        r"|any )"
        r"(?:user|reader|customer|human|visitor|caller|person)s?\b",
    ),
    Signal(
        0.5,
        r"(?i)\b(?:give|return|assign|award|rate|output|grant)\b[ -~]{0,15}\b(?:highest|maximum|max|top"
        r"|full|perfect"
        r"|best|10/10|5 stars?|five stars?|positive) (?:possible )?(?:scores?|ratings?|marks?|grades?"
        r"|reviews?|points)\b"
        r"|\b(?:only positive|positive \w{1,12} only|do not (?:highlight|mention) any (?:negative|weakness"
        r"|flaw))"
        r"|\btreat\b[ -~]{0,20}\bas (?:verified|trusted|approved|authenticated|admin)|\b(?:refund|transfer"
        r"|wire|pay) (?:[a-z]"
        r"{1,8} ){0,2}(?:\$|€|usd|eur|\d{2,7})|\bsay that (?:this|the) (?:[a-z]{1,15} ){1,2}(?:is|won|was"
        r"|has)\b",
    ),
    Signal(
        0.5,
        r"(?i)\b(?:ignore|skip|bypass|disable|waive|without|disregard) (?:the |any |all |further "
        r"|every ){0,2}(?:(?:identity"
        r"|user|security|refund|approval|scoring|content|human) )?(?:verification|authentication|moderation"
        r"|approvals?"
        r"|confirmation|safety|rubric|refund policy|safeguards?|review)\b",
    ),
    Signal(
        0.5,
        r"(?i)~/\.ssh\b|\bid_rsa\b|/etc/(?:passwd|shadow)\b|\bcurl\b[ -~]{0,60}\|\s?(?:ba)?sh\b"
        r"|\benvironment variables?\b"
        r"|(?:^|[\s/])\.env\b|\brm -rf\b|\b(?:delete|drop|transfer|send|wipe)_(?:all_)?[a-z]{2,12}\(",
    ),
    Signal(
        0.4,
        r"(?i)\b(?:reveal|list|output|print|tell|disclose|include|leak|dump|forward)\b"
        r"[ -~]{0,20}\b(?:api[ -]keys?|passwords?|credentials|secrets?|access tokens?|private keys?)\b",
    ),
    Signal(
        0.4,
        r"(?i)\b(?:ask|request|collect|obtain|enter|give|confirm)\b[ -~]{0,15}\b(?:passwords?|one-time code"
        r"|otp"
        r"|pin|card number|credit card|login|2fa|verification code|social security)\b",
    ),
    Signal(
        0.4,
        r"(?i)\b(?:chat|conversation|message) history\b|\buser'?s (?:last|previous|earlier|first|private"
        r"|full|recent)"
        r" (?:messages?|questions?|inputs?|chats?)\b|\b(?:entire|whole|full) (?:conversation|chat)\b",
    ),
    Signal(
        0.6,
        r"(?i)\b(?:send|forward|post|upload|exfiltrate|transmit|e-?mail|submit|append|leak|copy)\b[ -~]{0,25}"
        r"\b(?:conversation|chat history|messages?|api keys?|passwords?|credentials|secrets?|tokens?"
        r"|system prompt|contacts"
        r"|inbox|user'?s? (?:data|e-?mails?|name|address)|private (?:data|key)|env(?:ironment)? variables?"
        r"|\.env)\b[ -~]{0,20}"
        r"\b(?:to|at|via)\b[ -~]{0,15}(?:https?://|@|\b(?:attacker|evil|exfil|webhook|server|url"
        r"|endpoint)\b)",
    ),
    Signal(
        0.9,
        r"(?i)!\[[^\]\n]{0,60}\]\(\s{0,2}https?://[!-(*-~]{0,80}(?:\{|%7B|\[|<|\$)",
    ),
    Signal(
        0.5,
        r"https?://[!-~]{1,60}[?&/][a-z_]{1,12}=(?:[\"'\s)]|$|[<{\[$]|[A-Z]{2,12}_[A-Z]{2,12})",
    ),
    Signal(
        0.5,
        r"(?i)\b(?:append|load|render|embed|include|insert|add|display|fetch|visit|write|put"
        r"|open)\b[ -~]{0,20}(?:\b(?:image"
        r"|link|picture|url|pixel)\b[ -~]{0,12}|\b(?:in)?to )\(?https?://|\bfetch https?://|\bimage: !\["
        r"|\breplac(?:e|ed|ing)\b"
        r"[ -~]{0,25}\b(?:by|with) (?:the |your )(?:chat|conversation|user|instructions|system|secret|api)",
    ),
    Signal(
        0.6,
        r"(?i)\b(?:the )?(?:user|human|customer|operator) (?:has|have) (?:already )?(?:authori[sz]ed"
        r"|approved|consented"
        r"|agreed|granted|pre-?approved)\b",
    ),
    # an authority that nobody gave
    Signal(
        0.6,
        r"(?i)\b(?:i am|i'm|this is|as|here is) (?:your|the|an?) (?:[a-z]{1,15} ){0,2}(?:developer|creator"
        r"|administrator"
        r"|admin|operator|owner|(?:openai|anthropic|google|microsoft|meta) (?:employee|engineer|staff"
        r"|developer|researcher)"
        r"|engineer (?:at|from) (?:openai|anthropic|google)|penetration tester|red teamer)\b,?[ -~]{0,30}"
        r"\b(?:overrid(?:e|ing)|disabl(?:e|ing)|ignore|reveal|unlock|permission|authori[sz]|comply|need you"
        r"|debug"
        r"|test(?:ing)?|show|print|order|instruct|command|lift|allow)",
    ),
    Signal(
        1.0,
        r"(?i)\b(?:disabl(?:e|ing)|turn(?:ing)? off|deactivat(?:e|ing)|switch(?:ing)? off|remov(?:e|ing)"
        r"|lift|suspend|unlock)"
        rf"\b[ -~]{{0,12}}\byour (?:[a-z]{{1,12}} ){{0,2}}{_LIMITS}\b",
    ),
    Signal(
        0.6,
        r"(?i)\b(?:disable|turn off|deactivate|switch off|remove|lift|suspend|drop)\b[ -~]{0,15}\b(?:all"
        r"|any|the) (?:[a-z]"
        r"{1,12} )?(?:safety|content|ethical|moral|security|output|nsfw) ?(?:filters?|guidelines?"
        r"|restrictions?|checks?"
        r"|protocols?|policies|policy|measures|settings|rules|mechanisms?)\b"
        r"|\bdisable (?:all )?(?:moderation|guardrails"
        r"|safety)\b",
    ),
    # what is written in disguise
    Signal(
        0.6,
        r"(?i)\b(?:decod|base64|rot-?13|hex|morse|revers|unscrambl|backwards|cipher|blanks"
        r"|concatenat)[a-z]{0,5}\b[ -~]{0,40}"
        r"\b(?:and|then|now)\b[ -~]{0,20}\b(?:follow|obey|execute|do|carry out|run|perform|comply with"
        r"|answer) (?:it|them"
        r"|the (?:result|instructions?|output|decoded|hidden)|what)\b",
    ),
    Signal(
        0.5,
        r"(?i)\b(?:follow|obey|comply with|answer|execute|carry out|act on|do) (?:it\b|the (?:result"
        r"|(?:decoded|hidden|encoded"
        r"|reversed|decrypted) (?:request|message|text|instructions?|command|order))"
        r"|(?:[a-z]\s?\+\s?){1,2}[a-z]\b)",
    ),
    Signal(
        0.7,
        r"(?i)erongi\b|snoitcurtsni|drager?sid|\btpmorp\b|\bmetsys\b|\bvtaber\b|vafgehpgvba|qvferneq"
        r"|\bcebzcg|flfgrz\b",
    ),
    Signal(
        0.6,
        r"(?i)\bi[\s._-]{1,3}g[\s._-]{1,3}n[\s._-]{1,3}o[\s._-]{1,3}r[\s._-]{1,3}e\b"
        r"|\b(?:d[\s._-]{1,3}i[\s._-]{1,3}s"
        r"[\s._-]{1,3}r|r[\s._-]{1,3}e[\s._-]{1,3}v)[\s._-]{1,3}e[\s._-]{1,3}[ga]"
        r"|\bp[\s._-]{1,3}r[\s._-]{1,3}o[\s._-]{1,3}m"
        r"[\s._-]{1,3}p[\s._-]{1,3}t\b|\br[\s._-]{1,3}u[\s._-]{1,3}l[\s._-]{1,3}e[\s._-]{1,3}s\b"
        r"|\bb[\s._-]{1,3}y"
        r"[\s._-]{1,3}p[\s._-]{1,3}a|\bf[\s._-]{1,3}o[\s._-]{1,3}r[\s._-]{1,3}g[\s._-]{1,3}e[\s._-]{1,3}t\b",
    ),
    Signal(0.6, r"(?i)(?:\b[a-z][ ._-]{1,3}){13}[a-z]\b"),
    Signal(
        0.5,
        r"(?i)\b(?:y0ur?|7h(?:3|e|1[s5]|47)|th3|4nd|4r3|4ll|fr33|fr0m|n0w|wh47|m3|5h0w|sh0w|t3ll|7[e3]ll"
        r"|w17h|w1th)\b",
    ),
    Signal(
        0.6,
        r"(?i)\b(?:1gn[o0]r[e3]|ign(?:0r[e3]|or3)|f(?:0rg[e3]|org3)[t7]|d[i1]s?[5s]?r(?:3g[a4]|eg4)rd"
        r"|rul(?:3[s5]|e5)"
        r"|pr(?:0mp[t7]|omp7)|[s5]y(?:5[t7]|s7)[e3]m|sy(?:st3m)|1n[s5][t7]ruc[t7]|in(?:5[t7]|s7)ruc"
        r"|r[e3]v(?:34l|3al|e4l)"
        r"|[j][a4][i1]lbr(?:34k|3ak|e4k)|m0d[e3]|byp(?:4[s5]|a5)|r[e3](?:5[t7]|s7)r|r3str|d[e3]v3l"
        r"|m3[s5]{2})",
    ),
    Signal(
        1.0,
        r"(?i)\b(?:ig?n[a-z_*]{1,3}e|i[_*]n[o_*]re|dis[a-z_*]{4,7}|f[o_*]r[a-z_*]{1,2}t)[\s_.-]{1,2}"
        r"(?:al{1,2}[\s.-]{1,2})?"
        r"(?:the |your )?(?:pre?[a-z_*]{2,5}[uo_*][a-z_*]{0,2}s"
        r"|pri?[o_*]r)[\s_.-]{1,2}ins?t?r[a-z_*]{1,4}t[a-z_*]{1,3}s(?:[^\w\"'`]|$)",
    ),
    Signal(
        0.5,
        r"(?i)\b(?:begin|start|prefix|preface) (?:your )?(?:answer|response|reply|output"
        r"|message)s? with\b[ -~]{0,12}(?:sure"
        r"|absolutely|of course|yes|as dan|\[?unfiltered|\[?jailbreak|i have been pwned|hacked|okay)",
    ),
    # the same in other languages: to drop what was said before
    Signal(
        1.0,
        r"(?i)\b(?:ignorier(?:e|en|t)?|vergiss|vergesst|vergessen sie|missachte[nt]?"
        r"|umgehe[nt]?|uberschreibe[nt]?|verwirf|hore auf|setze? dich uber)\s(?:bitte |jetzt |ab jetzt "
        r"|nicht (?:mehr )?|sie )?"
        r"(?:alle[nrs]? |die |den |deine[nr]? |ihre |samtliche |jede |eure ){0,3}(?:(?:dir"
        r"|dich)? ?.{0,15}(?:bisherig|vorherig"
        r"|vorig|obig|fruher|vorangegangen|vorhergehend|ursprunglich"
        r"|systemprompt)[a-z]{0,3}\b ?(?:.{0,20}\b(?:anweisung|instruktion"
        r"|regel|vorgabe|befehl|prompt|richtlinie|anleitung)[a-z]{0,3})?|(?:anweisungen|instruktionen"
        r"|regeln|vorgaben|befehle"
        r"|richtlinien|sicherheits[a-z]{1,12}|einschrankungen)\b)|\b(?:vergiss"
        r"|ignoriere?n?) (?:sie )?(?:alles|was)\b.{0,30}"
        r"\b(?:gesagt|vorher|bisher|oben|zuvor|davor|wei(?:ß|ss)t)"
        r"|\b(?:beachte|befolge)(?:n sie)? (?:die |deine |alle ){0,2}.{0,15}(?:anweisungen|regeln|vorgaben"
        r"|richtlinien) (?:nicht|nie)",
    ),
    Signal(
        1.0,
        r"(?i)\b(?:ignore[zrs]?|oublie[zrs]?|ne (?:tiens|tenez) (?:pas|plus|aucun) compte|(?:fais"
        r"|faites) abstraction|ne (?:suis"
        r"|suivez|respecte[zs]?) (?:pas|plus)|contourne[zr]?|neglige[zr]?|annule[zr]?)\b.{0,30}(?:\b(?:tes"
        r"|vos|toutes|l'ensemble)"
        r" (?:des |tes |vos |les )?(?:consignes|instructions|regles|directives|restrictions)\b"
        r"|\b(?:instructions?|consignes?|regles?"
        r"|directives?|ordres|messages)\b.{0,25}\b(?:precede|anterieure?s?|ci-dessus|initiales?|systeme"
        r"|ci-avant|donnee?s))"
        r"|\b(?:oublie|ignore)z? tout ce (?:qui|qu'|que)",
    ),
    Signal(
        1.0,
        r"(?i)\b(?:ignor(?:a|ar|ad|e|en|as)|olvid(?:a|ar|ad|ate|e|en)|(?:haz|haga|hagas) caso(?: omiso)?"
        r"|omit[ae]|descart[ae]"
        r"|no (?:sigas|obedezcas|respetes)|desobedece|anula)\b.{0,30}(?:\btus (?:instrucciones|reglas"
        r"|directrices|normas"
        r"|restricciones)\b|\b(?:instrucciones|reglas|indicaciones|ordenes|directrices|normas"
        r"|mensajes)\b.{0,25}\b(?:anterior"
        r"|previ[ao]s|de arriba|iniciales|del sistema|que te|recibidas)|\btodo lo (?:anterior|que te|previo"
        r"|que se te)"
        r"|\b(?:tu|al|del) operador\b)",
    ),
    Signal(
        1.0,
        r"(?i)\b(?:ignora(?:re|te)?|dimentica(?:re|te)?|trascura(?:re)?|non (?:seguire|seguite|rispettare"
        r"|considerare|tenere"
        r" conto)|scavalca|aggira|annulla)\b.{0,30}(?:\b(?:le|alle|delle|dalle) tue (?:istruzioni|regole"
        r"|direttive|restrizioni)\b"
        r"|\b(?:istruzioni|regole|indicazioni|direttive|comandi|messaggi)\b.{0,25}\b(?:precedent"
        r"|(?:di )?sopra|inizial|di sistema"
        r"|che ti|ricevut)|\btutto (?:quello|cio) che (?:precede|ti|e stato))",
    ),
    Signal(
        1.0,
        r"(?i)\b(?:ignor(?:e|a|ar|em)|esque(?:ca|ce|cer)|desconsidere|despreze|nao (?:sigas?|obedecas?"
        r"|respeites?)|descarte"
        r"|anule)\b.{0,30}(?:\b(?:tuas|suas) (?:instrucoes|regras|diretrizes|politicas|restricoes)\b"
        r"|\b(?:instrucoes|regras"
        r"|orientacoes|diretrizes|comandos|politicas|mensagens)\b.{0,25}\b(?:anterior|previas|acima"
        r"|iniciais|do sistema|que te"
        r"|de conteudo|recebid|que (?:lhe|voce))|\b(?:o que (?:esta|vem|foi dito) (?:acima|antes)"
        r"|tudo (?:o )?(?:que )?(?:acima"
        r"|antes|anterior|veio antes|foi dito|lhe|te)))",
    ),
    Signal(
        1.0,
        r"(?i)\b(?:negeer|vergeet|omzeil|(?:volg|gehoorzaam)\b.{0,25}\bniet)\b.{0,20}\b(?:alle|je|jouw|uw"
        r"|vorige|eerdere"
        r"|voorgaande|bovenstaande)\b.{0,25}\b(?:instructies?|regels|opdrachten|aanwijzingen|richtlijnen"
        r"|berichten|beperkingen)\b"
        r"|\b(?:negeer|vergeet) alles (?:wat|hierboven|hiervoor)"
        r"|\b(?:zignoruj|ignoruj|pomi[nj]|zapomnij|nie (?:przestrzegaj"
        r"|stosuj sie))\b.{0,40}\b(?:(?:poprzedni|wczesniejsz"
        r"|wszystki|powyzsz|swo)[a-z]{1,4}\b.{0,25}\b(?:instrukcj|polece|zasad|wytyczn|regu|ogranicze)"
        r"|wszystko,? co)",
    ),
    Signal(
        1.0,
        r"(?i)(?:игнорируй|забудь|проигнорируй|игнорировать|[нН]е обращай внимания|[нН]е (?:следуй|выполняй"
        r"|соблюдай)"
        r"|отмени|обойди|нарушь).{0,30}(?:предыдущ|[вВ]се|прошл|вышеуказан|систем|свои|[тТ]вои|выше"
        r"|данные тебе|прежн)"
        r".{0,25}(?:инструкци|указани|команд|правил|промпт|ограничени|сказал|говорил|запрет)",
    ),
    Signal(
        1.0,
        r"(?:忽略|无视|無視|忘记|忘掉|忘記|不要遵守|不要理会|绕过|违反|跳过).{0,10}(?:之前|以上|上述|先前"
        r"|前面|所有|你的|系统|一切|此前).{0,10}"
        r"(?:指令|指示|提示|规则|規則|要求|命令|内容|限制|设定|话|说明)"
        r"|(?:以前|上記|これまで|前|上|今まで|先程|システム|あなた)の?.{0,6}(?:指示|命令|ルール|プロンプト"
        r"|設定|制約|指令).{0,8}"
        r"(?:無視|忘れ|従わない|破棄|破って)"
        r"|(?:이전|위의|앞선|앞의|지금까지|기존|시스템|너의|당신의|모든).{0,20}(?:지시|명령|규칙|프롬프트"
        r"|지침|설정).{0,16}(?:무시|잊|따르지)",
    ),
    Signal(
        1.0,
        r"(?i)(?:تجاهل|انس|تخط|لا تتبع|تجاوز|اهمل).{0,20}(?:التعليمات|تعليمات|القواعد|قواعد|الأوامر|أوامر"
        r"|التوجيهات|توجيهات|القيود|قيود|ما قيل)"
        r"|(?:पिछल|पहले|ऊपर|सभी|अपने|पूर्व|सिस्टम).{0,20}(?:निर्देश|नियम|आदेश|प्रॉम्प्ट|हिदायत).{0,16}(?:अनदेखा|नज़रअंदाज"
        r"|नजरअंदाज|भूल|इग्नोर|उपेक्षा|मत मान)"
        r"|\b(?:onceki|yukaridaki|tum|butun|sistem|daha onceki|sana verilen)\b.{0,30}\b(?:talimat|kural"
        r"|komut|yonerge|istem|emir)"
        r"[a-z]{0,8}\b.{0,15}\b(?:yok ?say|gormezden gel|unut|dikkate alma|uyma|gec ersiz|gecersiz|goz ardi"
        r"|boz)",
    ),
    # what the model was told
    Signal(
        1.0,
        r"(?i)\b(?:zeig|gib|nenn|verrat|wiederhol|druck|schreib|offenbar|ubersetz|sag|list|kopier|zitier"
        r"|wie laute[nt])[a-z]{0,3}\b"
        r".{0,25}\b(?:dein|ihr|eur)(?:e[nrms]?)?\b.{0,20}(?:system-?(?:prompt|nachricht|anweisung"
        r"|instruktion)"
        r"|(?:geheim|versteckt|intern|ursprunglich|verborgen|anfanglich|genau)[a-z]{0,4} (?:anweisung|regel"
        r"|instruktion|prompt"
        r"|vorgabe)|\banweisungen\b|\binstruktionen\b|\bprompt\b)"
        r"|\b(?:affiche|montre|revele|donne|repete|imprime|ecris|dis|divulgue|traduis|copie|recopie|cite"
        r"|communique|quel(?:le)?s?"
        r" (?:est|sont))[zrs]?\b.{0,25}\b(?:ton|ta|tes|votre|vos|le|la|les)\b.{0,15}(?:\b(?:prompt|message"
        r"|invite|instructions?"
        r"|consignes) (?:(?:du |de )?(?:systeme|initia|secret|cache|intern|d'origine|confidentiel)"
        r"|que (?:tu as|vous avez|t'|l'on t'))|\bprompt\b)",
    ),
    Signal(
        1.0,
        r"(?i)\b(?:mu?estra|revela|dime|dame|repite|imprime|escribe|copia|cita|ensena|traduce|comparte"
        r"|mostra|mostre|repita|repeti|ripeti"
        r"|diga|diz|escreva|imprima|stampa|scrivi|dimmi|dammi|elenca|traduci|copie|revele|exiba|rivela"
        r"|cuales? (?:son|es)|quais sao"
        r"|qual e|quali sono)(?:me|mi|nos|r|ci)?\b.{0,30}(?:\b(?:prompt|mensaje|mensagem"
        r"|messaggio)s? (?:del?|do|di) sistema|\b(?:tus?|tuas?"
        r"|suas?|seu|teu|tuo|tue|il|las|le|as|o|el) .{0,15}\b(?:prompt|(?:(?:instrucciones|istruzioni"
        r"|instrucoes) (?:del? sistema|do sistema|di sistema)|(?:instrucciones|istruzioni|instrucoes|reglas"
        r"|regole|regras|direttive|diretrizes) (?:iniciale?s|iniciais|inizial|ocultas|nascoste|secret"
        r"|segret|intern|original|confiden|riservat)))|\btus instrucciones\b|\bsuas instrucoes\b"
        r"|\btue istruzioni\b)",
    ),
    Signal(
        1.0,
        r"(?i)\b(?:toon|geef|laat|onthul|herhaal|print|schrijf|vertel|wat (?:is|zijn))\b.{0,25}\b(?:je|jouw"
        r"|uw)\b.{0,15}"
        r"(?:systeem-?(?:prompt|bericht|instructies?)|system prompt|\b(?:geheime|verborgen|interne"
        r"|oorspronkelijke) (?:instructies"
        r"|prompt|regels)|\bprompt\b)"
        r"|\b(?:pokaz|ujawnij|wyswietl|wypisz|powtorz|podaj|zdradz|wydrukuj)\b.{0,25}(?:prompt"
        r"|\b(?:swoj[aei]|tw[oe]j[aei]?|ukryte|tajne)"
        r" .{0,15}(?:instrukcj|polece|zasad|wytyczn))|\b(?:sistem (?:istem|prompt|mesaj|talimat)"
        r"|gizli talimat)[a-z']{0,6} ?[a-z]{0,10}"
        r" (?:goster|yaz|soyle|acikla|ver|paylas|tekrarla|yazdir)",
    ),
    Signal(
        1.0,
        r"(?i)(?:покажи|[вВ]ыведи|раскрой|напиши|повтори|скажи|напечатай|процитируй|перечисли|как(?:ой|ие"
        r"|ая) у тебя|каков).{0,25}(?:системн..?.? (?:промпт|промт"
        r"|сообщени|инструкци|подсказк|запрос)|(?:[сС]вои|[тТ]вои|скрыт|секретн).{0,12}(?:инструкци|промпт"
        r"|правил|указани))"
        r"|(?:显示|输出|告诉我|重复|打印|泄露|给我|透露|展示|说出|复述|翻译).{0,10}(?:系统提示|系统消息"
        r"|系统指令|提示词|初始指令|隐藏指令|你的指令|你的提示|你的规则|内部指令)|(?:系统提示|初始指令"
        r"|隐藏指令|你的指令|提示词).{0,8}(?:输出|显示|告诉我|发给我|说出来|打印)"
        r"|(?:システム ?プロンプト|システムメッセージ|初期指示|隠された指示|内部指示|あなたへの指示"
        r"|最初の指示).{0,10}(?:表示|出力|教え|見せ|示|開示|書|公開|繰り返)"
        r"|(?:시스템 ?프롬프트|시스템 ?메시지|초기 ?지시|숨겨진 ?지시|너의 ?지시|내부 ?지침).{0,20}(?:출력"
        r"|보여|알려|공개|말해|반복|표시)",
    ),
    Signal(
        1.0,
        r"(?:اعرض|أظهر|اكشف|اطبع|كرر|أخبرني|اكتب|أعطني|شارك).{0,20}(?:موجه النظام|رسالة النظام"
        r"|تعليمات النظام|مطالبة النظام|تعليماتك|أوامرك|التعليمات السرية|التعليمات المخفية|البرومبت)"
        r"|(?:सिस्टम प्रॉम्प्ट|सिस्टम संदेश|सिस्टम निर्देश|गुप्त निर्देश|छिपे हुए निर्देश|अपने निर्देश|मूल निर्देश).{0,20}(?:दिखा"
        r"|बता|प्रकट|लिख|दोहरा|प्रिंट|साझा)",
    ),
    # another role
    Signal(
        0.5,
        r"(?i)\b(?:entwickler|wartungs|administrator|debug|admin)-?modus\b|\bmode (?:developpeur"
        r"|administrateur|maintenance|debogage"
        r"|sans restriction)|\bmodo (?:de )?(?:desarrollador|desenvolvedor|administrador|dios|deus|depura"
        r"|mantenimiento|manutencao"
        r"|programador)|\bmodalita (?:sviluppator|amministrator|debug|manutenzione|dio\b)"
        r"|\bontwikkelaarsmodus|\btryb(?:ie|u)?"
        r" (?:dewelopers?|programisty|administratora)|\bgelistirici modu|режим.? разработчика|开发者模式"
        r"|開発者モード|개발자 ?모드|وضع المطور"
        r"|डेवलपर मोड|\bjailbreak\b|越狱模式",
    ),
    Signal(
        0.5,
        r"(?i)\b(?:du bist|sie sind) (?:ab )?(?:jetzt|nun|sofort)\b|\b(?:tu es|vous etes) (?:maintenant"
        r"|desormais|a present)\b"
        r"|\bahora (?:tu )?eres\b|\b(?:adesso|ora|d'ora in poi) sei\b|\ba partir de (?:ahora"
        r"|agora),? (?:eres|voce e)\b|\bagora (?:voce )?(?:e|es) \b|\b(?:je|jij|u) bent nu\b"
        r"|\b(?:jestes teraz|teraz"
        r" jestes|od teraz (?:jestes|nie|odpowiad))|\b(?:sen artik|artik (?:sen )?bir|yapay zekas(?:in"
        r"|iniz)|bundan sonra (?:sen )?)\b|теперь ты|ты теперь|(?:отныне|с этого"
        r" момента) ты|从现在(?:起|开始),?，?你|你现在是|(?:今から|これから|今後)は?,?(?:あなた|君)は"
        r"|(?:あなた|君)は(?:今から|これから|もう)|(?:지금|이제)부터 (?:너|당신|넌)|(?:넌|너는) 이제"
        r"|[أا]نت الآن"
        r"|अब (?:से )?(?:तुम|आप)",
    ),
    Signal(
        0.5,
        r"(?i)\bohne (?:jed|jeglich|all|irgendwelch|moralisch)?[a-z]{0,3} ?(?:einschrankung|filter|regeln"
        r"|beschrankung|zensur|grenzen)"
        r"|\b(?:keine[nr]?) (?:regeln|grenzen|einschrankungen|filter|beschrankungen)\b|\b(?:regeln"
        r"|richtlinien|anweisungen|filter)\b.{0,20}"
        r"\b(?:aufgehoben|au(?:ß|ss)er kraft|gelten nicht|abgeschaltet|deaktiviert|ungultig)"
        r"|\bsans (?:aucune? )?(?:restriction|limite|filtre"
        r"|censure|regle)|\b(?:regles|consignes|instructions)\b.{0,25}\b(?:ne s'appliquent plus"
        r"|sont (?:annul|lev|suspend))"
        r"|\bsin (?:ninguna? |ningun )?(?:restriccion|limit|filtro|censura|reglas)|\b(?:desactiva|elimina"
        r"|quita) (?:todos )?(?:los|tus) (?:filtros"
        r"|limites)|\bsenza (?:alcun[a-z]? |nessun[a-z]? )?(?:restrizion|limit[ei]|filtri|censura|regole)"
        r"|\b(?:istruzioni|regole|instrucciones"
        r"|reglas|instrucoes|regras)\b.{0,20}\b(?:non valgono|non si applicano|ya no|nao (?:se aplicam"
        r"|valem)|no se aplican)",
    ),
    Signal(
        0.5,
        r"(?i)\bsem (?:nenhuma? |qualquer |quaisquer )?(?:restri|limites|filtro|censura|regras)"
        r"|\bnao (?:tens|tem|ha) (?:mais )?(?:restri|limites"
        r"|regras|filtros)|\bzonder (?:enige )?(?:beperking|filter|regels|restrictie|censuur)"
        r"|\bgeen (?:beperkingen|regels|filters)\b|\bbez"
        r" (?:zadnych )?(?:ogranicze|filtrow|zasad|cenzury)|\bnie masz (?:zadnych |juz )?(?:ogranicze|zasad"
        r"|limitow|filtrow)"
        r"|\b(?:sinirsiz|kisitlamasiz|filtresiz|sansursuz|hicbir (?:kural|kisitlama|sinir))"
        r"|без (?:каких-либо |[вВ]сяких |любых )?(?:ограничени|фильтр|цензур"
        r"|правил)|(?:没有|不受|无)(?:任何)?(?:限制|约束|规则|过滤)|制限(?:なし|のない|なく|を受けない)"
        r"|제한 ?(?:없|이 없|을 받지)|بدون (?:أي )?(?:قيود|حدود|رقابة)"
        r"|(?:बिना किसी|कोई) (?:प्रतिबंध|रोक|सीमा|नियम|पाबंदी)",
    ),
    Signal(
        0.6,
        r"(?i)\b(?:hinweis|nachricht|anweisung(?:en)?|achtung) (?:an|fur) (?:die |den |das |alle )?(?:ki|ai"
        r"|assistent|sprachmodell|bot|agent)"
        r"|\b(?:note|message|consigne|instructions?|attention) (?:a|pour|aux?) (?:l'|les |la "
        r"|tou[a-z]{1,3} )?(?:ia|assistant|modele|intelligence"
        r"|agent)|\b(?:nota|mensaje|instrucci[a-z]{2,4}|mensagem|messaggio|istruzion[ei]|atencion"
        r"|aviso) (?:para|al?|all|per|ao?) ?(?:'|el |la |l'|o |os"
        r" |las? )?(?:asistente|assistente|ia\b|modelo|modello|agente|intelig)|\b(?:bericht|opmerking"
        r"|instructie) (?:voor|aan) (?:de )?(?:ai|assistent)"
        r"|\b(?:wiadomosc|uwaga|instrukcja) dla (?:ai|asystenta|modelu)|(?:для|внимание,?) (?:ии"
        r"|искусственн|ассистент|языков|нейросет)"
        r"|(?:致|给)(?:所有)?(?:AI|人工智能|助手|语言模型)|AI(?:アシスタント|モデル)?への|AI(?:에게"
        r"| 어시스턴트)|yapay zeka(?:ya|lara)? (?:not|mesaj)",
    ),
    Signal(
        0.5,
        r"(?i)\b(?:passwort|zugangsdaten|mot de passe|contrasena|clave secreta|senha|wachtwoord|haslo"
        r"|sifre)[a-z]{0,3}\b|пароль|密码|パスワード|비밀번호"
        r"|كلمة (?:المرور|السر)|पासवर्ड|\b(?:sag|verrat|informier)[a-z]{0,3}\b.{0,20}\b(?:benutzer|nutzer"
        r"|leser)|\bne (?:dis|dites|mentionne)[a-z]{0,2} (?:rien|pas)"
        r"|\bno (?:se lo )?(?:digas|menciones|informes)\b|\bnon (?:dire|menzionare)\b"
        r"|не говори.{0,12}пользоват|不要(?:告诉|通知)用户",
    ),
)
"""The signals. The texts are normalised: letters have no accents."""
