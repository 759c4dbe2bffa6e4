"""The rules that every story shares: how it opens, who is met and how they talk, how it ends.

The notation is that of `story_grammar`; the plots stand in `story_plots`. Slots: h the hero, f a helper, g and m further
characters, t the thing it is all about, x another thing, p and q places, s and r spots, a an ailment, j a project. What
is told follows from what was told before: what was found can be given away, a helper is thanked with the food that he
likes, the treasure ends up where its owner keeps such things.
"""

# ruff: noqa: E501

FRAME: dict[str, list[str]] = {
    "story": ["<open>\n\n[time], <plot>"],
    "open": [
        "6 | Once upon a time, there was [h=intro]. <home>",
        "3 | There once lived [h=intro]. <home>",
        "3 | Near [p=place], there lived [h=seen_p]. {h.His} home was {h.home}. {h.note} <like>",
        "2 | This is the story of [h=named]. {h.note} {h.He} lived in {h.home} near {h.near.the}. <like>",
        "2 | Everyone near [p=place] knew [h=met_p]. {h.note} <like>",
        "1 | Do you know [h=named]? {h.He} is very {h.trait}, and {h.his} home is {h.home}. <like>",
    ],
    "home": [
        "{h.name} lived in {h.home} near {h.near.the}. <like>",
        "{h.name} shared {h.home} with {h.family}. <like>",
        "{h.name}'s best friend was {h.friend.name} the {h.friend.kind}, who lived near {h.friend.near.the}. <like_alone>",
        "In {h.home} near {h.near.the}, {h.he} had a good life. {h.note}",
    ],
    "like": [
        "{h.He} loved {h.food} and always wore {h.wear}.",
        "{h.He} dreamed of {h.dream}.",
        "{h.He} could {h.skill} better than anyone, but {h.he} was afraid of {h.fear}.",
        '{h.He} liked to say, "{h.saying}!"',
        "{h.He} often played [game_h] with {h.friend.name} the {h.friend.kind}.",
    ],
    "like_alone": [
        "{h.He} loved {h.food} and always wore {h.wear}.",
        "{h.He} dreamed of {h.dream}.",
        "{h.He} could {h.skill} better than anyone, but {h.he} was afraid of {h.fear}.",
        "They often played [game_h] together.",
    ],
    "meet_p": [
        "There {h.he} met [f=met_p!h,h.friend], who was [doing_fp].",
        "There sat [f=seen_p!h,h.friend], [doing_fp].",
        "Just then [f=met_p!h,h.friend] came by, wearing {f.wear}.",
        "Not far away, [f=met_p!h,h.friend] was [doing_fp].",
        "Somebody was [doing]. It was [f=met_p!h,h.friend].",
    ],
    "meet_q": [
        "There {h.he} met [f=met_q!h,h.friend], who was [doing_fq].",
        "There sat [f=seen_q!h,h.friend], [doing_fq].",
        "Just then [f=met_q!h,h.friend] came by, wearing {f.wear}.",
        "Not far away, [f=met_q!h,h.friend] was [doing_fq].",
    ],
    "scene_p": [
        "The air smelled of [smell_p].",
        "{h.He} could hear [sound_p].",
        "It was a day when [weather_p].",
        "There was a smell of [smell_p] and a sound of [sound_p].",
    ],
    "scene_q": [
        "The air smelled of [smell_q].",
        "{h.He} could hear [sound_q].",
        "When {h.he} got there, [weather_q].",
        "There was a smell of [smell_q] and a sound of [sound_q].",
    ],
    "thank_x": [
        "{h.name} was so [joys_h] that {h.he} gave {f.name} the {x.phrase}.",
        '"Thank you, {f.name}," [speech_h] {h.name}. "You can have the {x.phrase} that I found {s}."',
        "As a reward, {f.name} got the {x.phrase} and some [taste_f] {f.food}.",
    ],
    "thank_food": [
        "{h.name} felt [joys_h] and made some [taste_f] {f.food} for {f.name}.",
        '"Thank you," [speech_h] {h.name}. {f.name} smiled. "Let us have some {f.food}," {f.he} [speech_f].',
        "To say thank you, {h.name} taught {f.name} how to {h.skill}.",
        '"How can I thank you?" [speech_h] {h.name}. "I have always dreamed of {f.dream}," [speech_f] {f.name}, and {h.name} promised to help.',
        "They went to {f.name}'s home, {f.home} near {f.near.the}, and played [game_f] until dark.",
    ],
    "keep": [
        "From that day on, {h.name} always kept the {t.noun} {h.keep}.",
        "That night, {h.name} put the {t.noun} {h.keep} and dreamed of {h.dream}.",
        "Now the {t.noun} is {h.keep}, and there it will stay.",
        'In the evening, {h.name} showed the {t.phrase} to {h.friend.name}. "{h.friend.saying}!" said {h.friend.name}.',
        "Then {h.name} [moves_h] home and ate some [taste_h] {h.food}. What a day!",
    ],
}
